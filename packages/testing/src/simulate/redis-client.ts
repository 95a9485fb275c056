/**
 * A connection to the Redis in memory, shaped like that of ioredis as far as Baton uses it. Like there, a command waits while Redis is away and
 * is sent again when its answer was lost, so that it may be executed twice; a pipeline may arrive in parts.
 */
import type { Dice } from './dice.ts'
import { createLink, type Link } from './link.ts'
import { BLOCKED, type MemoryRedis } from './memory-redis.ts'
import type { Process, Scheduler } from './scheduler.ts'
import type { Weather } from './weather.ts'

type Arg = string | number
type Command = [name: string, args: Arg[]]
type Reply = [Error | null, unknown]

const NAMES =
  'ping info get set del exists incr expire persist client publish time xadd xrange xgroup xreadgroup xack xdel xtrim xpending xclaim xinfo eval'.split(
    ' ',
  )

type Ask = (...args: (Arg | readonly Arg[])[]) => Promise<unknown>

/** Those commands that the simulated workers give themselves. */
export interface MemoryClient {
  xadd: Ask
  xgroup: Ask
  xreadgroup: Ask
  xclaim: Ask
  set: Ask
  get: Ask
  pipeline(): MemoryPipeline
}

export interface MemoryPipeline {
  xack(...args: (Arg | readonly Arg[])[]): MemoryPipeline
  xdel(...args: (Arg | readonly Arg[])[]): MemoryPipeline
  xpending(...args: (Arg | readonly Arg[])[]): MemoryPipeline
  exec(): Promise<Reply[]>
}

export interface RedisWorld {
  server: MemoryRedis
  scheduler: Scheduler
  weather: Weather
  dice: Dice
  /** Redis answers nobody before. */
  awayUntil: number
}

/** A connection of the process; cast it to the client that the code under test wants. */
export function connectMemoryRedis(world: RedisWorld, owner: Process, options: { whileAway?: 'wait' | 'fail' } = {}): MemoryClient {
  const { server, weather, dice } = world
  const link = createLink(world.scheduler, weather, owner, dice)
  const reads = createReads(world, owner)
  const waitUntil = () => world.awayUntil

  const run = ([name, args]: Command): unknown => {
    if (weather.chance('refused')) throw new Error('MISCONF Errors writing to the AOF file: No space left on device')
    return server.execute(name, args, owner.name)
  }
  const send = async <T>(effect: () => T): Promise<T> => {
    if (weather.chance('away')) world.awayUntil = world.scheduler.now() + dice.between(100, 8_000)
    if (weather.chance('sentAgain')) await link.request(effect, { inOrder: true, waitUntil }).catch(() => {})
    return link.request(effect, { inOrder: true, waitUntil })
  }
  const client: Record<string, unknown> = {
    status: 'ready',
    options: { connectionName: owner.name },
    on(event: string, heard: () => void) {
      if (event === 'ready') world.scheduler.after(0, heard, owner)
      return client
    },
    client: () => send(() => reads.id), // ID
    duplicate: () => connectMemoryRedis(world, owner),
    disconnect: reads.disconnect,
    hgetall: () => send(() => ({})),
    pipeline: () => pipelineOf((commands) => (options.whileAway === 'fail' ? sendOnce : sendAll)(link, commands, run, owner, world)),
    multi: () => pipelineOf((commands) => send(() => commands.map((command) => replyOf(run, command)))),
  }
  for (const name of NAMES) {
    client[name] ??= (...args: (Arg | Arg[])[]) => {
      const command: Command = [name, args.flat()]
      if (name === 'xreadgroup' && command[1].includes('BLOCK')) return reads.read(command)
      return send(() => run(command))
    }
  }
  return client as unknown as MemoryClient
}

/** Blocking reads: answered when there is something, or after their time. */
function createReads(world: RedisWorld, owner: Process) {
  const { server, scheduler, weather } = world
  const link = createLink(scheduler, weather, owner, world.dice)
  let giveUp: (() => void) | undefined
  let unblock: (() => boolean) | undefined
  let again: (() => void) | undefined

  function attempt([name, args]: Command, resolve: (reply: unknown) => void, reject: (error: unknown) => void): void {
    let open = true
    const end = (settle: () => void) => {
      open = false
      giveUp = undefined
      unblock = undefined
      again = undefined
      scheduler.after(weather.latencyMs(), settle, owner)
      return true
    }
    const tryNow = (error?: Error): boolean => {
      if (!open) return true
      if (owner.state === 'dead') return true
      if (error) return end(() => reject(error))
      try {
        const reply = server.execute(name, args, owner.name)
        // The answer is lost with its connection: what was delivered is pending, and the read is made again.
        if (reply !== BLOCKED && weather.chance('sentAgain')) return false
        return reply !== BLOCKED && end(() => resolve(reply))
      } catch (problem) {
        return end(() => reject(problem))
      }
    }
    giveUp = () => {
      open = false
    }
    unblock = () => open && owner.state !== 'dead' && end(() => resolve(null))
    again = () => attempt([name, args], resolve, reject)
    if (tryNow()) return
    server.wait(tryNow)
    scheduler.after(Number(args[args.indexOf('BLOCK') + 1]), () => open && end(() => resolve(null)))
  }

  return {
    id: server.connect(() => unblock?.() ?? false),
    read(command: Command): Promise<unknown> {
      return new Promise((resolve, reject) => {
        link.request(() => attempt(command, resolve, reject), { waitUntil: () => world.awayUntil }).catch(reject)
      })
    },
    disconnect(reconnect?: boolean) {
      const next = again
      giveUp?.()
      unblock = undefined
      again = undefined
      if (reconnect && next) scheduler.after(50, next, owner)
    },
  }
}

/** Commands of a pipeline arrive in order, perhaps in two parts; one that is refused does not hold up the others. */
async function sendAll(
  link: Link,
  commands: Command[],
  run: (command: Command) => unknown,
  owner: Process,
  world: RedisWorld,
  isResending = true,
) {
  const { weather, dice } = world
  const waitUntil = () => world.awayUntil
  owner.hot = true
  const cut = isResending && weather.chance('sentAgain') ? dice.below(commands.length + 1) : 0
  // The connection broke in the middle: all of it is sent again.
  if (cut > 0) await link.request(() => executeAll(run, commands.slice(0, cut)), { inOrder: true, waitUntil })
  const replies = await link.request(() => executeAll(run, commands), { inOrder: true, waitUntil })
  owner.hot = true
  return replies
}

/** Sent once or not at all; when the connection breaks, all of it may have been executed, or a part. */
async function sendOnce(link: Link, commands: Command[], run: (command: Command) => unknown, owner: Process, world: RedisWorld) {
  const { scheduler, weather, dice } = world
  if (scheduler.now() < world.awayUntil) throw new Error('Redis is away')
  if (!weather.chance('sentAgain')) return sendAll(link, commands, run, owner, world, false)
  owner.hot = true
  await link.request(() => executeAll(run, commands.slice(0, dice.below(commands.length + 1))), { inOrder: true })
  throw new Error('the connection to Redis broke')
}

/** Executes commands that arrive together. A disk that is full stays full for a while. */
function executeAll(run: (command: Command) => unknown, commands: readonly Command[]): Reply[] {
  let refusal: Error | null = null
  return commands.map((command): Reply => {
    const reply: Reply = refusal ? [refusal, undefined] : replyOf(run, command)
    if (reply[0]?.message.startsWith('MISCONF')) refusal = reply[0]
    return reply
  })
}

function replyOf(run: (command: Command) => unknown, command: Command): Reply {
  try {
    return [null, run(command)]
  } catch (error) {
    return [error as Error, undefined]
  }
}

function pipelineOf(exec: (commands: Command[]) => Promise<Reply[]>): object {
  const commands: Command[] = []
  const pipeline: Record<string, unknown> = {
    get length() {
      return commands.length
    },
    exec: () => exec(commands),
  }
  for (const name of NAMES) {
    pipeline[name] = (...args: (Arg | Arg[])[]) => {
      commands.push([name, args.flat()])
      return pipeline
    }
  }
  return pipeline
}
