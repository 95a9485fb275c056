/** Every key of a definition that runs stands in an example of examples/kinds. */
import { commonKeys, type DefinitionKey, runningKeysOf, runningKinds, topKeys } from '@baton/contracts'
import { test } from 'tap'
import { parse } from 'yaml'
import { readExamples } from './run-examples.ts'

test('every kind and every key that runs stands in an example, and every value of a choice', (t) => {
  const shown = new Set<string>()
  for (const { text } of readExamples('kinds')) noteDefinition(parse(text), shown)
  const wanted = [
    ...topKeys().flatMap((key) => placesOf('', key)),
    ...commonKeys().flatMap((key) => placesOf('step.', key)),
    ...runningKinds().flatMap((kind) => [`step.${kind}`, ...runningKeysOf(kind).flatMap((key) => placesOf(`step.${kind}.`, key))]),
  ]
  t.ok(wanted.length > 150, 'the schema was walked')
  t.same(
    wanted.filter((place) => !shown.has(place)),
    [],
  )
  t.end()
})

/** The key, and each value of its choice that is not the one that stands anyway. */
function placesOf(prefix: string, { path, values, standard, type }: DefinitionKey): string[] {
  const isFlag = type.startsWith('true or false')
  const chosen = isFlag ? [standard === 'true' ? 'false' : 'true'] : values.filter((value) => JSON.stringify(value) !== standard)
  return [prefix + path, ...chosen.map((value) => `${prefix}${path}=${value}`)]
}

type Value = Record<string, unknown>

function noteDefinition({ steps, ...top }: Value, shown: Set<string>): void {
  noteValue(top, '', shown)
  noteSteps(steps, '', shown)
}

function noteSteps(steps: unknown, at: string, shown: Set<string>): void {
  shown.add(`${at}steps`)
  for (const step of Array.isArray(steps) ? steps : Object.values(steps as Value)) noteStep(step as Value, shown)
}

function noteStep({ compensate, ...step }: Value, shown: Set<string>): void {
  if (compensate !== undefined) {
    shown.add('step.compensate')
    noteStep(compensate as Value, shown)
  }
  noteValue(step, 'step.', shown)
}

/** Every place of a value by its keys; those of inner steps as of steps. Lists add nothing. */
function noteValue(value: unknown, at: string, shown: Set<string>): void {
  if (Array.isArray(value)) {
    for (const item of value) noteValue(item, at, shown)
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'steps') noteSteps(inner, at, shown)
      else {
        shown.add(at + key)
        noteValue(inner, `${at}${key}.`, shown)
      }
    }
  } else shown.add(`${at.slice(0, -1)}=${String(value)}`)
}
