/**
 * One thread of time for all processes of a simulation. Whatever happens is an event with a time; the next one is taken when everything that
 * followed from the last one has come to rest. So an event wakes one process alone, `current` says which, and the same seed gives the same
 * order. A process may be killed (its memory is gone: none of its events happens any more) or stopped (they happen when it goes on) between
 * any two of its events, which is between any two awaits of its code.
 */
export interface Process {
  name: string
  state: 'running' | 'stopped' | 'dead'
  /** How far its clock is off. */
  clockMs: number
  /** It is in the middle of something: the next step is a good moment for a fault. */
  hot: boolean
  /** Asked before each of its events; may kill or stop it. */
  beforeStep?(process: Process): void
  waiting: Task[]
}

interface Task {
  at: number
  order: number
  run(): void
  owner: Process | undefined
  canceled: boolean
}

export interface Scheduler {
  /** True time, in ms since the simulation began. No process sees it. */
  now(): number
  /** The process whose code runs. */
  readonly current: Process | undefined
  /** Events that happened so far. */
  readonly steps: number
  spawn(name: string): Process
  kill(process: Process): void
  stop(process: Process, ms: number): void
  resume(process: Process): void
  /** Runs code as the process, now. */
  enter(process: Process, run: () => void): void
  after(ms: number, run: () => void, owner?: Process): { cancel(): void }
  /** Goes on until `isDone`, nothing is left, or more than `stepsMax` events; tells whether it is done. */
  run(isDone: () => boolean, stepsMax: number): Promise<boolean>
}

const settle = setImmediate

/** A scheduler at time 0. */
export function createScheduler(): Scheduler {
  const heap = createHeap()
  let now = 0
  let order = 0
  let steps = 0
  let current: Process | undefined

  function after(ms: number, run: () => void, owner?: Process) {
    const task: Task = { at: now + Math.max(0, ms), order: order++, run, owner, canceled: false }
    heap.push(task)
    return {
      cancel() {
        task.canceled = true
      },
    }
  }

  function resume(process: Process): void {
    if (process.state !== 'stopped') return
    process.state = 'running'
    for (const task of process.waiting.splice(0)) {
      task.at = now
      heap.push(task)
    }
  }

  /** Gives the time to everything that follows from the event. */
  function step(task: Task): Promise<void> | undefined {
    const { owner } = task
    if (owner) owner.beforeStep?.(owner)
    if (owner?.state === 'dead') return undefined
    if (owner?.state === 'stopped') {
      owner.waiting.push(task)
      return undefined
    }
    steps++
    current = owner
    task.run()
    return owner ? new Promise((resolve) => settle(resolve)) : undefined
  }

  return {
    now: () => now,
    get current() {
      return current
    },
    get steps() {
      return steps
    },
    spawn: (name) => ({ name, state: 'running', clockMs: 0, hot: false, waiting: [] }),
    kill(process) {
      process.state = 'dead'
      process.waiting = []
    },
    stop(process, ms) {
      if (process.state !== 'running') return
      process.state = 'stopped'
      after(ms, () => resume(process))
    },
    resume,
    enter(process, run) {
      after(0, run, process)
    },
    after,
    async run(isDone, stepsMax) {
      const limit = steps + stepsMax
      while (!isDone()) {
        const task = heap.pop()
        if (!task || steps >= limit) return false
        if (task.canceled) continue
        now = Math.max(now, task.at)
        const rest = step(task)
        if (rest) await rest
        current = undefined
      }
      return true
    },
  }
}

/** Tasks by time, then by when they were made. */
function createHeap() {
  const tasks: Task[] = []
  const isBefore = (a: Task, b: Task) => a.at < b.at || (a.at === b.at && a.order < b.order)
  return {
    push(task: Task): void {
      let at = tasks.push(task) - 1
      while (at > 0) {
        const parent = (at - 1) >> 1
        if (!isBefore(task, tasks[parent]!)) break
        tasks[at] = tasks[parent]!
        at = parent
      }
      tasks[at] = task
    },
    pop(): Task | undefined {
      const first = tasks[0]
      const last = tasks.pop()
      if (last === undefined || last === first) return first
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= tasks.length) break
        if (child + 1 < tasks.length && isBefore(tasks[child + 1]!, tasks[child]!)) child++
        if (!isBefore(tasks[child]!, last)) break
        tasks[at] = tasks[child]!
        at = child
      }
      tasks[at] = last
      return first
    },
  }
}
