/** Writes fan-out.yaml: a hundred parallel steps are better generated than typed. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fanOutYaml } from './fan-out.ts'

writeFileSync(join(import.meta.dirname, '../fan-out.yaml'), fanOutYaml(100))
