/** Every example of examples/kinds runs as its head says. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '@baton/testing'
import { test } from 'tap'
import { startShop } from '../src/shop.ts'
import { SHOP_CLIENT } from '../src/shop-lists.ts'
import { type Loose, openContract } from './contract-harness.ts'

const FOLDER = join(import.meta.dirname, '../kinds')

interface Example {
  name: string
  text: string
  /** What its head says: `# word: JSON`, or text. */
  head: Record<string, Loose>
}

function readExample(file: string): Example {
  const text = readFileSync(join(FOLDER, file), 'utf8')
  const head: Record<string, Loose> = {}
  for (const [, word, value] of text.matchAll(/^# ([a-z]+): (.*)$/gm)) head[word!] = parsed(value!)
  return { name: file.replace('.yaml', ''), text, head }
}

function parsed(value: string): Loose {
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

test('every example of a kind runs as its head says', { timeout: 120_000 }, async (t) => {
  const contract = await openContract(t)
  const shop = await startShop()
  t.teardown(() => shop.close())
  await contract.call('PUT', '/api/v1/vars/SHOP', { body: { value: shop.url } })
  await contract.call('PUT', '/api/v1/secrets/SHOP_CLIENT_SECRET', { body: { value: SHOP_CLIENT.secret } })
  const examples = readdirSync(FOLDER)
    .filter((file) => file.endsWith('.yaml'))
    .map(readExample)
  for (const { name, text } of examples) {
    const { status, body } = await contract.call('PUT', `/api/v1/workflows/${name}`, { body: text, type: 'application/yaml' })
    t.equal(status, 201, `${name} is taken: ${JSON.stringify(body.errors ?? '')}`)
  }
  for (const { name, head } of examples) {
    await t.test(name, async (t) => {
      const input = head.input === undefined ? {} : { input: head.input }
      const { id } = await contract.start(name, input)
      if (head.decide) await decide(id, head.decide)
      for (const [step, ends] of Object.entries(head.work ?? {})) for (const end of ends as Loose[]) await work(id, step, end)
      const run = await contract.ended(id)
      t.equal(run.status, head.status, JSON.stringify(run.error))
      if ('output' in head) t.same(run.output, head.output)
      if (head.error) t.equal(run.error.code, head.error)
      for (const [path, status] of Object.entries(head.steps ?? {})) t.equal((await contract.step(id, path)).status, status, path)
    })
  }

  /** Claims the task of the step, tells how far it is, and ends it. */
  async function work(run: string, step: string, end: Loose): Promise<void> {
    const open = async () => (await contract.call('GET', `/api/v1/tasks?run=${run}&status=open`)).body.items
    const task = await until(async () => (await open()).find((task: Loose) => task.step === step))
    const act = (call: string, body: Loose) => contract.call('POST', `/api/v1/tasks/${task.id}/${call}`, { body })
    const { fencingToken } = (await act('claim', {})).body
    await act('progress', { percent: 50, fencingToken })
    await act('output' in end ? 'complete' : 'fail', { ...end, fencingToken })
  }

  async function decide(run: string, { step, decision }: { step: string; decision: string }): Promise<void> {
    const approval = await until(async () => contract.approvalOf(run, step))
    await contract.call('POST', `/api/v1/approvals/${approval.id}/decision`, { body: { decision } })
  }
})
