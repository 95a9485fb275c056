/**
 * Judges a stack by what anybody can see: the public API, what followers were told, and the shop's own record of its calls. Event times are
 * those of Postgres, call times those of the shop, both on the clock of this machine: they are compared as they are, without slack.
 */
import type { Approval, BatonClient, CloudEvent, Run, Step } from '@baton/client'
import type { ShopCall } from '../src/shop.ts'
import type { Control, Followed, Vote } from './drive.ts'
import { ENDS_RUN, judgeControls, judgeForks, lastGenerationOf, reopeningsOf } from './judge-controls.ts'
import { type Family, judgeOutput, type Started } from './workload.ts'
import { judgeCrowd, judgeUndone } from './workload-tied.ts'

/** What is judged: what was accepted, and what was seen. */
export interface Observed {
  started: readonly Started[]
  /** Child runs and forks, which others have started. */
  derived?: readonly Derived[]
  votes: readonly Vote[]
  cancelled: readonly string[]
  controls: readonly Control[]
  followed: readonly Followed[]
}

/** A run that was started by a step, or forked from a run. */
export interface Derived extends Started {
  by: string | undefined
  forkedFrom?: string | undefined
}

/** Runs that nobody has started by himself, out of all that there are. Those whose family nobody knows are strange. */
export async function findDerived(client: BatonClient, started: readonly Started[]): Promise<{ derived: Derived[]; strange: string[] }> {
  const known = new Map(started.map((run) => [run.id, run]))
  const derived: Derived[] = []
  const strange: string[] = []
  for await (const { id, parent, forkedFrom, input, workflow } of client.runs.list({}, { pageSize: 200 })) {
    if (known.has(id)) continue
    const { order } = input as { order: string }
    const by = parent ? `${parent.run}/${parent.step}` : undefined
    if (parent || forkedFrom) derived.push({ id, family: workflow as Family, order, by, forkedFrom })
    else strange.push(`${id} was started by nobody`)
  }
  return { derived, strange }
}

/** Each kid of each parent was started once, and no others were. */
function judgeKids(derived: readonly Derived[], all: readonly Started[]): string[] {
  const counts = Map.groupBy(
    derived.flatMap(({ by }) => (by === undefined ? [] : [by])),
    (by) => by,
  )
  const expected = all.flatMap(({ id, family }) => (family === 'parent' ? [0, 1].map((index) => `${id}/each[${index}].kid`) : []))
  const wrong = expected.filter((by) => counts.get(by)?.length !== 1).map((by) => `${by} has started ${counts.get(by)?.length ?? 0} runs`)
  const others = [...counts.keys()].filter((by) => !expected.includes(by))
  return [...wrong, ...others.map((by) => `${by} has started a run, which nobody has asked for`)]
}

/** From its admission to its end. */
function spanOf({ run, events }: Seen): { id: string; from: number; to: number } {
  const admitted = events.find(({ type }) => type === 'dev.baton.run.admitted')
  return { id: run.id, from: Date.parse(admitted?.time ?? run.createdAt), to: Date.parse(events.at(-1)!.time) }
}

/** What came of it; `violations` is empty when every promise was kept. */
export interface Verdict {
  violations: string[]
  calls: number
  /** Calls beyond the first of a try: those that were made again because somebody or something was lost. */
  repeated: number
  steps: number
  events: number
}

const ENDS_STEP = /^dev\.baton\.step\.(succeeded|failed|skipped|cancelled)$/
const AT_ONCE = 20

/** Reads everything and compares. */
export async function judge(client: BatonClient, shopUrl: string, record: Observed): Promise<Verdict> {
  const violations: string[] = []
  const calls = await readCalls(shopUrl)
  const callsOf = Map.groupBy(calls, (call) => runOfKey(call.idempotencyKey))
  const followedOf = Map.groupBy(record.followed, ({ run }) => run)
  const totals = { steps: 0, events: 0, tries: 0 }
  const eventsOf = new Map<string, readonly CloudEvent[]>()
  const crowd: { id: string; from: number; to: number }[] = []
  const refunded = new Map<string, string>()
  const all = [...record.started, ...(record.derived ?? [])]
  await inGroups(all, async (started) => {
    const seen = await readRun(client, started.id)
    const say = (what: string) => void violations.push(`${started.family} ${started.id} ${what}`)
    eventsOf.set(started.id, seen.events)
    judgeEvents(seen, say)
    judgeSteps(seen, say)
    for (const what of judgeOutput(started, seen.run)) say(what)
    judgeRefund(started, seen.run, refunded, say)
    if (started.family === 'undone') for (const what of judgeUndone(seen.run, seen.steps, seen.events)) say(what)
    if (started.family === 'crowd') crowd.push(spanOf(seen))
    judgeCalls(started, seen, callsOf.get(started.id) ?? [], say)
    for (const approval of seen.approvals) judgeApproval(approval, seen.events, record.votes, say)
    for (const followed of followedOf.get(started.id) ?? []) judgeFollower(followed, seen.events, say)
    totals.steps += seen.steps.length
    totals.events += seen.events.length
    totals.tries += triesOf(seen.events)
  })
  violations.push(...judgeCrowd(crowd), ...judgeKids(record.derived ?? [], all))
  violations.push(...judgeControls(record.controls, eventsOf), ...judgeForks(record.controls, record.derived ?? []))
  for (const id of record.cancelled) {
    const { status } = await client.runs.get(id)
    if (status !== 'cancelled') violations.push(`${id} was cancelled, which was accepted, and is ${status}`)
  }
  const ids = new Set(all.map(({ id }) => id))
  const strange = calls.filter((call) => !ids.has(runOfKey(call.idempotencyKey) ?? ''))
  for (const call of strange) violations.push(`${call.method} ${call.path} was called with the key ${call.idempotencyKey}`)
  return { violations, calls: calls.length, repeated: Math.max(0, calls.length - totals.tries), steps: totals.steps, events: totals.events }
}

interface Seen {
  run: Run
  events: CloudEvent[]
  steps: Step[]
  approvals: Approval[]
}

async function readAll<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of pages) all.push(one)
  return all
}

type Say = (what: string) => void

async function readRun(client: BatonClient, id: string): Promise<Seen> {
  const run = await client.runs.get(id)
  const [events, steps, approvals] = await Promise.all([
    readAll(client.runs.events(id)),
    readAll(client.runs.steps(id)),
    readAll(client.approvals.list({ run: id })),
  ])
  return { run, events, steps, approvals }
}

function judgeEvents({ run, events }: Seen, say: Say): void {
  for (const [index, { seq }] of events.entries()) if (seq !== index + 1) return say(`has seq ${seq} at place ${index + 1}`)
  if (run.lastSeq !== events.length) say(`says lastSeq ${run.lastSeq} and has ${events.length} events`)
  const ends = events.filter(({ type }) => ENDS_RUN.test(type))
  const reopened = events.filter(({ type }) => type === 'dev.baton.run.reopened').length
  if (ends.length !== 1 + reopened || ends.at(-1) !== events.at(-1)) {
    say(`ended ${ends.length} times and was reopened ${reopened} times, the last event is ${events.at(-1)?.type}`)
  }
  if (ends.length > 0 && !ends.at(-1)!.type.endsWith(`.${run.status}`)) say(`is ${run.status} and ended with ${ends.at(-1)!.type}`)
  for (let i = 1; i < events.length; i++) if (events[i]!.time < events[i - 1]!.time) say(`goes back in time at seq ${i + 1}`)
  const outcomes = Map.groupBy(
    events.filter(({ type }) => ENDS_STEP.test(type)),
    (event) => `${event.subject}/${event.data.generation}`,
  )
  for (const [step, ended] of outcomes) if (ended.length > 1) say(`has ${ended.length} outcomes of ${step}`)
  for (const { type, subject, data } of events) {
    if (type === 'dev.baton.step.scheduled' && !outcomes.has(`${subject}/${data.generation}`)) say(`has no outcome of ${subject}`)
  }
}

/** The shop makes another refund for each key: two runs that have the same were told the answer of one. A fork may have copied it. */
function judgeRefund({ id, forkedFrom }: Partial<Derived> & Started, { output }: Run, refunded: Map<string, string>, say: Say): void {
  const { refund } = (output ?? {}) as { refund?: unknown }
  if (typeof refund !== 'string' || forkedFrom !== undefined) return
  const other = refunded.get(refund)
  if (other !== undefined && other !== id) say(`has the refund ${refund}, and so has ${other}`)
  refunded.set(refund, id)
}

/** What `/steps` shows is what the events say. */
function judgeSteps({ events, steps }: Seen, say: Say): void {
  for (const { path, status } of steps) {
    const last = events.findLast(({ type, subject }) => subject === path && ENDS_STEP.test(type))
    const told = last ? last.type.slice('dev.baton.step.'.length) : 'pending'
    if (told !== status) say(`shows ${path} as ${status}, and its events say ${told}`)
  }
}

/** No call began after its step had ended; each step that succeeded was answered before it did; every call carries the key of its step. */
function judgeCalls({ order }: Started, { run, events }: Seen, calls: ShopCall[], say: Say): void {
  const outcomes = new Map<string, CloudEvent>()
  for (const event of events) if (ENDS_STEP.test(event.type)) outcomes.set(`${event.subject}/${event.data.generation}`, event)
  const keysOf = new Map<string, string>()
  const lastGeneration = lastGenerationOf(events)
  for (const call of calls) {
    const step = stepOfKey(call.idempotencyKey!)
    const outcome = outcomes.get(step)
    if (!outcome) say(`called ${call.path} for ${step}, which has no outcome`)
    else if (call.startedAt > Date.parse(outcome.time))
      say(
        `called ${call.path} for ${step} ${call.startedAt - Date.parse(outcome.time)} ms after ${outcome.type} at ${outcome.time}; ${storyOf(call.idempotencyKey, calls)}`,
      )
    const [, key, generation] = /^(.*)\/(\d+)$/.exec(call.idempotencyKey!)!
    if (Number(generation) > lastGeneration)
      say(`called ${call.path} in generation ${generation}, and was reopened ${reopeningsOf(events)} times`)
    if (call.path !== '/refunds' && !call.path.startsWith(`/orders/${order}.`))
      say(`called ${call.path} in the name of ${call.idempotencyKey}`)
    // One step makes all calls of a path, the refund too, whatever its generation.
    const known = keysOf.get(call.path) ?? key!
    if (known !== key) say(`called ${call.path} with the keys ${known} and ${key}`)
    keysOf.set(call.path, known)
  }
  const answered = new Map<string, number>()
  for (const call of calls) {
    if (call.endedAt === null || call.status === null || call.status >= 300) continue
    const step = stepOfKey(call.idempotencyKey!)
    answered.set(step, Math.min(call.endedAt, answered.get(step) ?? call.endedAt))
  }
  for (const [step, { type, time, data }] of outcomes) {
    if (!isHttp(data) || type !== 'dev.baton.step.succeeded' || data.copied === true) continue
    if (!((answered.get(step) ?? Number.POSITIVE_INFINITY) <= Date.parse(time)))
      say(`has ${step} succeed at ${time} without an answer of the shop; its calls: ${storyOf(`${run.id}/${step}`, calls) || 'none'}`)
  }
}

/** One outcome, that of the votes in their order; each voter counted once; each vote that was accepted is there. */
function judgeApproval(approval: Approval, events: readonly CloudEvent[], votes: readonly Vote[], say: Say): void {
  const opened = events.filter(({ type, subject }) => type === 'dev.baton.approval.opened' && subject === approval.step)
  const closed = events.filter(
    ({ type, subject }) => /^dev\.baton\.approval\.(decided|expired|cancelled)$/.test(type) && subject === approval.step,
  )
  if (opened.length !== 1 || closed.length !== 1) say(`opened ${approval.step} ${opened.length} times and closed it ${closed.length} times`)
  if (closed[0] && !closed[0].type.endsWith(`.${approval.status}`))
    say(`shows ${approval.id} as ${approval.status} after ${closed[0].type}`)
  const voters = approval.decisions.map(({ by }) => by)
  if (new Set(voters).size !== voters.length) say(`counts a voter twice: ${voters.join(', ')}`)
  for (const vote of votes.filter(({ approval: id }) => id === approval.id)) {
    const counted = approval.decisions.some(({ by, decision }) => by.endsWith(vote.by) && decision === vote.decision)
    if (!counted) say(`lost the ${vote.decision} of ${vote.by}, which was accepted`)
  }
  if (approval.status !== 'decided') return
  const first = approval.decisions.find(({ decision }) => decision === 'reject') ? 'reject' : 'approve'
  const approvals = approval.decisions.filter(({ decision }) => decision === 'approve').length
  if (approval.decision !== first || (first === 'approve' && approvals !== approval.quorum))
    say(`decided ${approval.decision} by ${JSON.stringify(approval.decisions)}`)
}

/** What a follower was told over any number of cuts is what REST tells. */
function judgeFollower({ over, events: followed, error }: Followed, events: readonly CloudEvent[], say: Say): void {
  if (error !== undefined) return say(`could not be followed over ${over} beyond seq ${followed.at(-1)?.seq}: ${error}`)
  if (followed.length !== events.length) say(`gave a follower over ${over} ${followed.length} of ${events.length} events`)
  for (const [index, event] of followed.entries()) {
    if (JSON.stringify(event) !== JSON.stringify(events[index])) return say(`told over ${over} another event ${index + 1} than over REST`)
  }
}

/** All calls of a key, for whoever has to find out. */
function storyOf(key: string | null, calls: readonly ShopCall[]): string {
  const time = (ms: number | null) => (ms === null ? 'never' : new Date(ms).toISOString().slice(11, 23))
  const same = calls.filter((call) => call.idempotencyKey === key)
  return same.map(({ startedAt, endedAt, status }) => `${time(startedAt)} to ${time(endedAt)}: ${status}`).join(', ')
}

/** Attempts of http steps, by the events: one for each time that one was scheduled or tried again. */
function triesOf(events: readonly CloudEvent[]): number {
  const attempts = new Map<string, number>()
  for (const { type, subject, data } of events) {
    if (ENDS_STEP.test(type) && isHttp(data) && data.copied !== true) attempts.set(`${subject}/${data.generation}`, Number(data.attempt))
  }
  return [...attempts.values()].reduce((sum, attempt) => sum + attempt, 0)
}

function isHttp(data: CloudEvent['data']): boolean {
  const { output } = data as { output?: { durationMs?: unknown; status?: unknown } | null }
  return typeof output === 'object' && output !== null && typeof output.durationMs === 'number' && typeof output.status === 'number'
}

async function readCalls(shopUrl: string): Promise<ShopCall[]> {
  const { items } = (await (await fetch(`${shopUrl}/calls`)).json()) as { items: ShopCall[] }
  return items
}

const KEY = /^(run_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\/(.+\/\d+)$/

function runOfKey(key: string | null): string | undefined {
  return KEY.exec(key ?? '')?.[1]
}

function stepOfKey(key: string): string {
  return KEY.exec(key)?.[2] ?? key
}

async function inGroups<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  const left = [...all]
  const takers = Array.from({ length: AT_ONCE }, async () => {
    for (let one = left.pop(); one !== undefined; one = left.pop()) await act(one)
  })
  await Promise.all(takers)
}
