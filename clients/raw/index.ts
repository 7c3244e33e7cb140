// The raw AMQP client: sends any bytes, hands out what comes back. See raw-connection.ts.
export { type CertificateFiles, makeCertificate } from './certificate'
export { describe, type Received } from './inbox'
export { RawChannel, type RawMessage } from './raw-channel'
export { type CloseReason, closeReason, fullCapabilities, type HandshakeOptions, RawConnection } from './raw-connection'
export * from './wire'
