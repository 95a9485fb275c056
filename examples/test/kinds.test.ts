/** Every example of examples/kinds and examples/patterns runs as its head says, all on one stack. */
import { type Test, test } from 'tap'
import { type Contract, type Loose, must, openContract } from './contract-harness.ts'
import { readExamples, runExamples, sendEvent } from './run-examples.ts'

test('examples of kinds and patterns', { timeout: 120_000 }, async (t) => {
  const contract = await openContract(t)
  await runExamples(t, contract, [...readExamples('kinds'), ...readExamples('patterns')])
  await t.test('a rollout by tags moves new runs alone, as docs/patterns/versioned-rollout.md tells', (t) => rollOut(t, contract))
})

async function rollOut(t: Test, contract: Contract): Promise<void> {
  const name = 'versioned-rollout'
  const tag = async (tag: string, body: Loose) =>
    must(await contract.call('PUT', `/api/v1/workflows/${name}/tags/${tag}`, { body }), 200, 201)
  const start = (body: Loose) => contract.start(name, { input: { price: 100, ...body.input }, ...body.with }, { wait: '30s' })
  await tag('live', { version: 1 })
  await tag('canary', { version: 2, percent: 0 })
  const held: Loose = await contract.start(name, { input: { price: 100, hold: 'h-1' } })
  t.match(await start({}), { version: 1, output: { charged: 100 } })
  t.match(await start({ with: { tag: 'canary' } }), { version: 2, output: { charged: 90 } }, 'whoever asks for it gets it')
  await tag('canary', { version: 2, percent: 100 })
  t.match(await start({}), { version: 2, output: { charged: 90 } }, 'its share of those that ask for nothing')
  await tag('canary', { version: 2, percent: 0 })
  await tag('live', { version: 2 })
  t.match(await start({}), { version: 2 })
  await sendEvent(contract, { type: 'dev.example.release', subject: 'h-1' })
  t.match(await contract.ended(held.id), { version: 1, output: { charged: 100 } }, 'what was begun goes on as it was')
}
