import { join } from 'node:path'

const SERVICES = join(import.meta.dirname, '../../../services')

/**
 * What node is given to start a service: its sources, or the bundle of them that `run-tests` made for a run of many files, where it names their
 * folder in BATON_TEST_BUNDLES. A bundle is what images hold, and starts in half of the CPU time (0.6 s for 1.2 s).
 */
export function serviceProgram(service: string): string[] {
  const bundles = process.env.BATON_TEST_BUNDLES
  if (bundles) return ['--no-warnings', join(bundles, service, 'app/main.js')]
  return ['--conditions=@baton/source', '--no-warnings', join(SERVICES, service, 'src/main.ts')]
}
