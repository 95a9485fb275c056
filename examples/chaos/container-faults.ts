/** What an operator or a network does to a container from outside: killed, frozen, or cut from its networks, and brought back. */
import { setTimeout as pause } from 'node:timers/promises'
import type { ContainerStack } from './container-stack.ts'
import { docker } from './docker.ts'
import { SERVICES, type Service } from './stack.ts'

export const CONTAINERS = ['postgres', 'redis', ...SERVICES] as const
export type ContainerName = (typeof CONTAINERS)[number]

/** Longer than the time after which others take over from a silent process (3 s), shorter than that of a try of the caller. */
const AWAY_MS = 4_500
const KILLED_MS = 500
const READY_MS = 60_000

/** What is done to one container, and undone; resolves when it serves again, with what was done. */
export type ContainerFault = (stack: ContainerStack, name: ContainerName) => Promise<string>

/** `docker kill` of all of a service at once, so that nobody is left of it, or of the one server. */
export const killContainer: ContainerFault = async (stack, name) => {
  if (name === 'redis') {
    await stack.redis.kill()
    await pause(KILLED_MS)
    await stack.redis.start()
  } else if (name === 'postgres') await stack.postgres.restart('immediate', KILLED_MS)
  else {
    const replicas = stack.of(name)
    await Promise.all(replicas.map((replica) => replica.kill()))
    await pause(KILLED_MS)
    await Promise.all(replicas.map((replica) => replica.begin()))
  }
  await serves(stack, name)
  return `${name} killed`
}

/** `docker pause`: it stands still for longer than others wait for it. */
export const pauseContainer: ContainerFault = async (stack, name) => {
  const id = stack.idOf(name)
  await docker(['pause', id])
  await pause(AWAY_MS)
  await docker(['unpause', id])
  await serves(stack, name)
  return `${name} paused for ${AWAY_MS} ms`
}

/**
 * `docker network disconnect` from all that it is in, and connected again. It then has other addresses, and connections that were open
 * have nobody at their other end, of which neither side is told.
 */
export const cutContainer: ContainerFault = async (stack, name) => {
  // the second one, so that it is not always the same that is taken away; of a server there is one
  const inCompose = name === 'postgres' || name === 'redis' ? name : `${name}-2`
  const id = stack.idOf(inCompose)
  const networks = Object.keys(JSON.parse(await docker(['inspect', '--format', '{{json .NetworkSettings.Networks}}', id])))
  for (const network of networks) await docker(['network', 'disconnect', network, id])
  await pause(AWAY_MS)
  for (const network of networks) await docker(['network', 'connect', '--alias', inCompose, network, id])
  await serves(stack, name)
  return `${inCompose} cut from ${networks.length} networks for ${AWAY_MS} ms`
}

/** Redis and its volume are removed, and both made anew. */
export async function removeRedis(stack: ContainerStack): Promise<void> {
  await docker(['rm', '--force', stack.idOf('redis')])
  await docker(['volume', 'rm', `${stack.project}_redis`])
  await stack.compose('up', '--detach', '--no-deps', '--wait', 'redis')
  await stack.lookAgain()
  await serves(stack, 'redis')
}

/** Starts and RestartCount of each container of a service: what changes when the engine starts it again. */
export async function startsOf(stack: ContainerStack): Promise<string[]> {
  const ids = stack.replicas.map(({ inCompose }) => stack.idOf(inCompose))
  const lines = await docker(['inspect', '--format', '{{.Name}} {{.RestartCount}} {{.State.StartedAt}}', ...ids])
  return lines.split('\n')
}

/** The services that stand on a server are ready when it serves. */
async function serves(stack: ContainerStack, name: ContainerName): Promise<void> {
  const replicas = name === 'postgres' || name === 'redis' ? stack.replicas : stack.of(name as Service)
  await Promise.all(replicas.map((replica) => replica.ready(READY_MS)))
}
