import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { fanOutDefinition, fanOutYaml } from '../src/fan-out.ts'

const read = (name: string) => readFileSync(join(import.meta.dirname, '..', name), 'utf8')

test('fan-out.yaml is what its generator writes', (t) => {
  t.equal(read('fan-out.yaml'), fanOutYaml(100))
  t.same(parse(read('fan-out.yaml')), fanOutDefinition(100))
  t.end()
})

test('the examples are well-formed and carry their own name', (t) => {
  for (const name of ['refund', 'fan-out', 'research']) t.equal(parse(read(`${name}.yaml`)).name, name)
  t.end()
})
