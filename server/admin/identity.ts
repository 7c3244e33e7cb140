// What we call ourselves to programs that read RabbitMQ's management API.

export const PRODUCT_NAME = 'Leveret'

/** The RabbitMQ whose contract we follow. Tools choose paths and fields by this number, as Zabbix does between health checks
 *  and nodes; our own version is product_version. */
export const RABBITMQ_VERSION = '4.3.0'
