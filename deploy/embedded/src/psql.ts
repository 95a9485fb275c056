/** make psql [ARGS=…]: psql on the database of this stack, with its password. */
import { spawnSync } from 'node:child_process'
import { runsInContainers } from './compose.ts'
import { composeInteractive } from './compose-exec.ts'
import { settingsOfRunning } from './running-stack.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand, StackProblem } from './stack-problem.ts'
import { toolsUrl } from './tools-url.ts'

const paths = stackPaths()
/** Parameters of a URL, and the variables of libpq that mean the same. */
const TLS_VARIABLES: Record<string, string> = {
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  sslnegotiation: 'PGSSLNEGOTIATION',
  channel_binding: 'PGCHANNELBINDING',
}

await runCommand(async () => {
  const args = process.argv.slice(2)
  const settings = settingsOfRunning(paths)
  const { ownPostgres } = settings
  if (runsInContainers(paths) && ownPostgres)
    return composeInteractive(paths, 'postgres', ['psql', '--username=baton', '--dbname=baton', ...args])
  const { hostname, port, pathname, username, password, searchParams } = await toolsUrl(settings)
  const env = {
    ...process.env,
    PGHOST: hostname.replace(/^\[|\]$/g, ''),
    PGPORT: port || '5432',
    PGDATABASE: decodeURIComponent(pathname.slice(1)),
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    ...Object.fromEntries([...searchParams].flatMap(([name, value]) => (TLS_VARIABLES[name] ? [[TLS_VARIABLES[name], value]] : []))),
  }
  const { status, error } = spawnSync('psql', args, { env, stdio: 'inherit' })
  if (error) throw new StackProblem('psql is not on PATH: install the client of PostgreSQL (Debian: apt-get install postgresql-client).')
  return status ?? 1
})
