/** `node examples/src/serve-shop.ts`: the shop by itself, on SHOP_PORT (default 8090, moved by BATON_PORT_OFFSET). */
import { shopPort } from './settings.ts'
import { startShop } from './shop.ts'

const shop = await startShop({ port: shopPort() })
console.log(`the shop listens on ${shop.url}`)
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void shop.close().then(() => process.exit(0)))
}
