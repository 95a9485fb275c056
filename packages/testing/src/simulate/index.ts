/**
 * The seeded simulator. Invariants: whatever is random, and the order of everything, comes from the seed; the code under test is the real one,
 * handed in by whoever simulates it; what is in memory here behaves like what it stands for, or worse.
 */
export { type Checker, createChecker } from './checker.ts'
export { createDice, type Dice, hashOf } from './dice.ts'
export { EPOCH, installClock } from './install-clock.ts'
export { createLink, type Link } from './link.ts'
export { createMemoryRedis, type MemoryRedis } from './memory-redis.ts'
export type { NewFork } from './memory-rows.ts'
export { createMutantLoader, type SourceEdit } from './mutants.ts'
export type { ForkEvents } from './people.ts'
export type { Statement } from './record-statements.ts'
export { connectMemoryRedis, type MemoryClient, type RedisWorld } from './redis-client.ts'
export { createScheduler, type Process, type Scheduler } from './scheduler.ts'
export { type Fault, type Outcome, type RunnerPlace, type Simulation, simulate } from './simulate.ts'
export { drawWeather, expose, type Weather } from './weather.ts'
