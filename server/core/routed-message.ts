// A message as the exchanges see it: its routing keys, and whatever else of it one of them asks for. Decoded late, since most ask
// for nothing but the key. Made by the router for one walk over exchanges.
import type { FieldTable } from '../../protocol/field-table'
import { decodeProperties, type Properties } from '../../protocol/properties'
import type { IncomingMessage } from '../../storage/message-store'

/** Content header: class 2, weight 2, body size 8, then the properties. */
export const PROPERTIES_AT = 12

export class RoutedMessage {
  private decoded: Properties | null = null

  /** `routingKeys`: that of the publish, then those of CC and BCC. */
  constructor(
    readonly routingKeys: readonly string[],
    private readonly message: IncomingMessage,
  ) {}

  get properties(): Properties {
    const { headerBuf, headerStart, headerEnd } = this.message
    this.decoded ??= decodeProperties(headerBuf, headerStart + PROPERTIES_AT, headerEnd)
    return this.decoded
  }

  get headers(): FieldTable {
    return this.properties.headers ?? {}
  }
}
