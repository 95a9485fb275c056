/**
 * `make demo`: starts the shop if none is there, saves refund.yaml, runs it, shows its events as they happen, asks whoever sits at the
 * terminal to approve (`--yes` approves by itself, `--no` rejects), and ends with the run's output. `--order <id>` chooses the order.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { parseArgs } from 'node:util'
import { type BatonClient, BatonUnreachable, createClient, type Run } from '@baton/client'
import { describeEvent } from './describe-event.ts'
import { shopPort, stackSettings } from './settings.ts'
import { startShop } from './shop.ts'

interface DemoOptions {
  order: string
  /** What to answer without asking; undefined = ask. */
  answer: 'approve' | 'reject' | undefined
}

/** Something that one sentence explains and a stack trace would not. */
class DemoError extends Error {}

function readOptions(): DemoOptions {
  const { values } = parseArgs({
    options: { yes: { type: 'boolean' }, no: { type: 'boolean' }, order: { type: 'string', default: 'big' } },
  })
  const answer = values.yes ? 'approve' : values.no ? 'reject' : undefined
  if (answer === undefined && !process.stdin.isTTY) throw new DemoError('there is no terminal to ask at: add --yes (make demo ARGS=--yes)')
  return { order: values.order, answer }
}

async function openClient(): Promise<BatonClient> {
  const { url, liveUrl, apiKey } = stackSettings()
  const alive = await fetch(`${url}/healthz`).then(
    (response) => response.ok,
    () => false,
  )
  if (!alive) throw new DemoError(`nothing answers at ${url}: run "make up" first`)
  if (apiKey === undefined) throw new DemoError('there is no key: run "make up" first (it writes .env), or set BATON_API_KEY')
  return createClient({ url, key: apiKey, ...(liveUrl === undefined ? {} : { fanoutUrl: liveUrl }) })
}

/** The shop that listens already, or one of our own until the end of the demo. */
async function openShop(): Promise<{ url: string; close(): Promise<void> }> {
  const given = process.env.SHOP_URL
  const url = given ?? `http://127.0.0.1:${shopPort()}`
  const listens = await fetch(`${url}/healthz`).then(
    (response) => response.ok,
    () => false,
  )
  if (listens || given !== undefined) return { url, close: async () => {} }
  return startShop({ port: shopPort() }).catch((error: Error) => {
    throw new DemoError(`the shop cannot listen on port ${shopPort()} (${error.message}): set SHOP_PORT to a free one`)
  })
}

async function runDemo(options: DemoOptions): Promise<void> {
  const client = await openClient()
  const shop = await openShop()
  try {
    const definition = readFileSync(join(import.meta.dirname, '../refund.yaml'), 'utf8')
    const saved = await client.workflows.put('refund', definition)
    console.log(`saved   refund, version ${saved.version}`)
    const run = await client.runs.start('refund', { input: { orderId: options.order, shop: shop.url } })
    console.log(`started ${run.id} for the order "${options.order}"; the shop listens on ${shop.url}\n`)
    await follow(client, run, options)
    const ended = await client.runs.wait(run.id, { timeoutMs: 30_000 })
    console.log(`\n${ended.status}: ${JSON.stringify(ended.output ?? ended.error)}`)
    if (ended.status !== 'succeeded' && options.answer === 'approve') process.exitCode = 1
  } finally {
    await shop.close()
  }
}

/** Prints events until the run has ended; an open approval is put to the person meanwhile, and withdrawn when somebody else was faster. */
async function follow(client: BatonClient, run: Run, options: DemoOptions): Promise<void> {
  const began = Date.parse(run.createdAt)
  let question: AbortController | undefined
  let opened: string | undefined
  let answering: Promise<void> = Promise.resolve()
  for await (const event of client.watchRun(run.id)) {
    console.log(describeEvent(event, began))
    if (event.type === 'dev.baton.approval.opened') opened = event.subject
    // Asked when everything before it has been shown.
    if (event.type === 'dev.baton.run.waiting' && opened !== undefined) {
      question = new AbortController()
      answering = answer(client, run.id, opened, options, question.signal)
      answering.catch(() => {})
      opened = undefined
    }
    if (/approval\.(decided|expired|cancelled)$/.test(event.type)) question?.abort()
  }
  await answering
}

async function answer(client: BatonClient, runId: string, path: string, options: DemoOptions, withdrawn: AbortSignal): Promise<void> {
  const decision = options.answer ?? (await ask(withdrawn))
  if (decision === undefined) return
  await client.runs.decide(runId, path, { decision, comment: 'decided in the demo' })
}

async function ask(withdrawn: AbortSignal): Promise<'approve' | 'reject' | undefined> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  try {
    for (;;) {
      const text = (await terminal.question('\nApprove the refund? [y/n] ', { signal: withdrawn })).trim()
      if (/^(y(es)?|approve)$/i.test(text)) return 'approve'
      if (/^(no?|reject)$/i.test(text)) return 'reject'
    }
  } catch (error) {
    if (withdrawn.aborted) return undefined
    // Ctrl-C or Ctrl-D at the question; the events alone would keep the demo going
    console.error(`\ndemo: not answered (${(error as Error).message}); the run goes on waiting for its approval`)
    process.exit(130)
  } finally {
    terminal.close()
  }
}

try {
  await runDemo(readOptions())
} catch (error) {
  if (!(error instanceof DemoError) && !(error instanceof BatonUnreachable)) throw error
  console.error(`demo: ${error.message}`)
  process.exitCode = 1
}
