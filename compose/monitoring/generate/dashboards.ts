/** The four questions, a dashboard each. */
import type { Dashboard } from './grafana.ts'
import { healthy } from './healthy.ts'
import { slow } from './slow.ts'
import { stuck } from './stuck.ts'
import { waiting } from './waiting.ts'

export const dashboards: readonly Dashboard[] = [healthy, slow, stuck, waiting]
