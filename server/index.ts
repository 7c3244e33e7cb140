// What the package offers to a program that embeds a broker.

export { StartupError } from '../storage/log-backend'
export { Broker, type BrokerOptions, type StopOptions } from './broker'
export { ConfigError } from './config'
export { type Clock, ManualClock, type Timer } from './core/clock'
export type { Logger } from './logger'
