import { createLogger, createService } from '@baton/runtime'
import t from 'tap'

t.test('what is held may take the whole grace to be finished or handed back', async (t) => {
  const app = createService({ name: 'test', logger: createLogger({ name: 'test', level: 'silent' }), checks: [] })
  t.ok(app.initialConfig.pluginTimeout! > 25_000, 'or fastify fails the close while hooks still stop work')
  let stopped = false
  app.addHook('preClose', async () => {
    await new Promise((resolve) => setTimeout(resolve, 10_500))
    stopped = true
  })
  await app.listen({ port: 0 })
  await app.close()
  t.ok(stopped)
})
