// A certificate for localhost that signs itself, for tests and measurements of TLS. Made by the openssl command.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

export interface CertificateFiles {
  cert: string
  key: string
}

/** Two PEM files in the folder. Throws where there is no openssl. */
export function makeCertificate(folder: string): CertificateFiles {
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  const made = ['-keyout', files.key, '-out', files.cert, '-days', '2', '-subj', '/CN=localhost']
  const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...made, ...names], { stdio: 'pipe' })
  } catch (error) {
    throw new Error(`openssl, which is needed here, made no certificate: ${(error as Error).message}`)
  }
  return files
}
