/** Every example of examples/kinds runs as its head says. */
import { test } from 'tap'
import { openContract } from './contract-harness.ts'
import { readExamples, runExamples } from './run-examples.ts'

test('every example of a kind runs as its head says', { timeout: 120_000 }, async (t) => {
  await runExamples(t, await openContract(t), readExamples('kinds'))
})
