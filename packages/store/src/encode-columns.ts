/**
 * Columns of a batch as parameters of one statement. postgres.js would escape every element of an array with two regular expressions; these
 * write the literals straight. JSON travels as one array of values, which is neither escaped nor parsed twice.
 */

/** A Postgres array literal of numbers. */
export function numbers(values: readonly (number | null)[]): string {
  return `{${values.map((value) => (value === null ? 'null' : value)).join(',')}}`
}

const PLAIN = /^[^"\\]*$/

/** A Postgres array literal of texts. */
export function texts(values: readonly (string | null)[]): string {
  let literal = '{'
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    if (i > 0) literal += ','
    if (value === null) literal += 'null'
    else if (PLAIN.test(value)) literal += `"${value}"`
    else literal += `"${value.replace(/["\\]/g, '\\$&')}"`
  }
  return `${literal}}`
}

/** JSON values for `json_array_elements($n::text::json)`. */
export function jsons(values: readonly unknown[]): string {
  return JSON.stringify(values)
}
