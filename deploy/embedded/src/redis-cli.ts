/** make redis-cli [ARGS=…]: redis-cli on the Redis of this stack, with its password. */
import { spawnSync } from 'node:child_process'
import { runsInContainers } from './compose.ts'
import { composeInteractive, REDIS_CLI } from './compose-exec.ts'
import { findRedisCli } from './redis-binary.ts'
import { settingsOfRunning } from './running-stack.ts'
import { namesSeveral } from './several-redis.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand, StackProblem } from './stack-problem.ts'

const paths = stackPaths()

await runCommand(async () => {
  const args = process.argv.slice(2)
  const { redisUrl, ownRedis } = settingsOfRunning(paths)
  if (runsInContainers(paths) && ownRedis) return composeInteractive(paths, 'redis', [...REDIS_CLI, ...args])
  if (namesSeveral(redisUrl))
    throw new StackProblem('REDIS_URL names several servers: ask one of them by redis-cli itself (-h, -p, and -c for a cluster).')
  const { protocol, hostname, port, pathname, username, password } = new URL(redisUrl)
  const place = ['-h', hostname.replace(/^\[|\]$/g, ''), '-p', port || '6379', '-n', pathname.slice(1) || '0']
  const flags = [...(protocol === 'rediss:' ? ['--tls'] : []), ...(username ? ['--user', decodeURIComponent(username)] : [])]
  const env = { ...process.env, ...(password && { REDISCLI_AUTH: decodeURIComponent(password) }) } // arguments can be read by everybody
  const program = findRedisCli(paths.redisPrograms)
  if (!program) throw new StackProblem('redis-cli is not on PATH: install it (Debian: apt-get install redis-tools).')
  const { status } = spawnSync(program, [...place, ...flags, ...args], { env, stdio: 'inherit' })
  return status ?? 1
})
