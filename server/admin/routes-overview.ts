// /api/overview and /api/whoami.
import { type AdminContext, type Resource, resource } from './context'
import { PRODUCT_NAME, RABBITMQ_VERSION } from './identity'

export function overviewRoutes({ management }: AdminContext): Resource[] {
  return [
    resource('/api/whoami', {
      GET: ({ user }) => ({ name: user.name, tags: user.tags, is_internal_user: true }),
    }),
    resource('/api/overview', {
      GET: () => ({
        management_version: RABBITMQ_VERSION,
        rabbitmq_version: RABBITMQ_VERSION,
        product_name: PRODUCT_NAME,
        product_version: management.version,
        cluster_name: management.clusterName,
        node: management.nodeName,
      }),
    }),
  ]
}
