import { closeSync, existsSync, openSync } from 'node:fs'
import { createLogger, metricsText } from '@baton/runtime'
import t from 'tap'
import { createLogDestination } from '../src/logger.ts'

t.test(
  'a disk that is full costs log lines, not the service',
  { skip: existsSync('/dev/full') ? false : 'there is no /dev/full here' },
  async (t) => {
    const full = openSync('/dev/full', 'w')
    t.teardown(() => closeSync(full))
    const log = createLogger({ name: 'test' }, createLogDestination(full))
    const line = 'x'.repeat(10_000)
    for (let i = 0; i < 200; i++) t.doesNotThrow(() => log.info({ line }, 'written'))
    const { text } = await metricsText()
    t.match(text, /baton_log_write_errors_total [1-9]/)
    t.match(text, /baton_log_lines_lost_total [1-9]/)
  },
)
