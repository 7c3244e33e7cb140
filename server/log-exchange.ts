// A logger that also hands each line to the exchange amq.rabbitmq.log. Built by broker.ts around the one that is given.
import { formatMessage, type LogFields, type Logger } from './logger'

type Tell = (level: string, text: () => string) => void

export function toLogExchange(logger: Logger, tell: Tell): Logger {
  const both = (name: keyof Logger, level: string) => (message: string, fields?: LogFields) => {
    logger[name](message, fields)
    tell(level, () => formatMessage(message, fields))
  }
  // The levels by RabbitMQ's names, which are the routing keys.
  return {
    debug: both('debug', 'debug'),
    info: both('info', 'info'),
    warn: both('warn', 'warning'),
    error: both('error', 'error'),
  }
}
