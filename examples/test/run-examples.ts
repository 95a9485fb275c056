/** Runs the examples of a folder on one stack, all at once, and compares each with what its head says. examples/README.md lists the words of heads. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { UNSUPPORTED } from '@baton/contracts'
import { until } from '@baton/testing'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { startShop } from '../src/shop.ts'
import { SHOP_CLIENT } from '../src/shop-lists.ts'
import { type Contract, freshName, type Loose, must } from './contract-harness.ts'

/** One file. */
export interface Example {
  name: string
  text: string
  /** What its head says: `# word: JSON`, or text. */
  head: Record<string, Loose>
}

/** A vote that the head asks for. */
interface Vote {
  step: string
  decision: string
  comment?: string
  data?: Loose
  /** Somebody else than who starts the run: `finance-1` is an operator of the group `finance`. */
  as?: string
  /** Path of a step that has to succeed before. */
  after?: string
}

/** The examples of a folder beside examples/test, by name, but those for what this version refuses (`# feature:`). */
export function readExamples(folder: string): Example[] {
  const path = join(import.meta.dirname, '..', folder)
  const names = readdirSync(path).flatMap((file) => (file.endsWith('.yaml') ? [file.replace('.yaml', '')] : []))
  const examples = names.sort().map((name) => readExample(path, name))
  return examples.filter(({ head }) => !(UNSUPPORTED as readonly string[]).includes(head.feature))
}

function readExample(folder: string, name: string): Example {
  const text = readFileSync(join(folder, `${name}.yaml`), 'utf8')
  const head: Record<string, Loose> = {}
  for (const [, word, value] of text.matchAll(/^# ([a-z]+): (.*)$/gm)) head[word!] = parsed(value!)
  return { name, text, head }
}

function parsed(value: string): Loose {
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

/** Saves the examples with what they need, starts all of them, and checks each when it has ended. */
export async function runExamples(t: Test, contract: Contract, examples: readonly Example[]): Promise<void> {
  const shop = await startShop()
  t.teardown(() => shop.close())
  await contract.call('PUT', '/api/v1/vars/SHOP', { body: { value: shop.url } })
  await contract.call('PUT', '/api/v1/secrets/SHOP_CLIENT_SECRET', { body: { value: SHOP_CLIENT.secret } })
  const saved: { name: string; version: number }[] = []
  for (const example of examples) saved.push(await saveExample(t, contract, example))
  const voterOf = makeVoters(contract)
  const ended = examples.map(async ({ head }, i) => {
    const { name, version } = saved[i]!
    const votes: Vote[] = [head.decide ?? []].flat()
    // All of them before the first vote: where too few people are there for a quorum, nothing can win.
    for (const { as } of votes) if (as !== undefined) await voterOf(as)
    const { id } = await contract.start(name, { version, ...(head.input === undefined ? {} : { input: head.input }) })
    for (const event of head.events ?? []) await sendEvent(contract, event)
    for (const vote of votes) await castVote(contract, id, vote, voterOf)
    for (const [step, ends] of Object.entries(head.work ?? {})) for (const end of ends as Loose[]) await work(contract, id, step, end)
    return contract.ended(id)
  })
  await Promise.allSettled(ended)
  for (const [i, { name, head }] of examples.entries()) {
    await t.test(name, async (t) => {
      const run = await ended[i]!
      t.equal(run.status, head.status, JSON.stringify(run.error))
      if ('output' in head) t.same(run.output, head.output)
      if (head.error) t.equal(run.error.code, head.error)
      for (const [path, status] of Object.entries(head.steps ?? {})) t.equal((await contract.step(run.id, path)).status, status, path)
      for (const [path, attempt] of Object.entries(head.attempts ?? {})) t.equal((await contract.step(run.id, path)).attempt, attempt, path)
    })
  }
}

/** Under the name that stands in it, so that two files may be two versions of one workflow. */
async function saveExample(t: Test, contract: Contract, { name, text, head }: Example): Promise<{ name: string; version: number }> {
  const path = `/api/v1/workflows/${parse(text).name}`
  const { status, body } = await contract.call('PUT', path, { body: text, type: 'application/yaml' })
  t.equal(status, 201, `${name} is taken: ${JSON.stringify(body.errors ?? '')}`)
  if (head.tag) must(await contract.call('PUT', `${path}/tags/${head.tag}`, { body: { version: 1 } }), 200, 201)
  return body
}

/** Sends a CloudEvent with an id of its own. */
export async function sendEvent(contract: Contract, event: Loose): Promise<void> {
  const body = { specversion: '1.0', id: freshName('event'), source: '/examples', ...event }
  must(await contract.call('POST', '/api/v1/events', { body, type: 'application/cloudevents+json' }), 202)
}

/** Keys of people by their name, each made once. */
function makeVoters(contract: Contract): (name: string) => Promise<string> {
  const made = new Map<string, Promise<string>>()
  return (name) => {
    const group = name.replace(/-\d+$/, '')
    const key = made.get(name) ?? contract.makeKey('operator', { name, groups: [group] }).then((voter) => voter.key)
    made.set(name, key)
    return key
  }
}

/** Claims the task of the step, tells how far it is, and ends it. */
async function work(contract: Contract, run: string, step: string, end: Loose): Promise<void> {
  const open = async () => (await contract.call('GET', `/api/v1/tasks?run=${run}&status=open`)).body.items
  const task = await until(async () => (await open()).find((other: Loose) => other.step === step))
  const act = async (call: string, body: Loose) => must(await contract.call('POST', `/api/v1/tasks/${task.id}/${call}`, { body }), 200)
  const { fencingToken } = await act('claim', {})
  await act('progress', { percent: 50, fencingToken })
  await act('output' in end ? 'complete' : 'fail', { ...end, fencingToken })
}

async function castVote(contract: Contract, run: string, vote: Vote, voterOf: (name: string) => Promise<string>): Promise<void> {
  const { step, as, after, ...body } = vote
  if (after) await until(async () => (await contract.step(run, after)).status === 'succeeded')
  const approval = await contract.approvalOf(run, step)
  const key = as === undefined ? {} : { key: await voterOf(as) }
  must(await contract.call('POST', `/api/v1/approvals/${approval.id}/decision`, { body, ...key }), 200)
}
