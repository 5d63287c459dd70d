// Compares the memories that a reader finds in an export with the memories in the table, which come as
// NDJSON.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

const columns = ['id', 'memory', 'user_id', 'agent_id', 'session_id', 'priority', 'status', 'categories', 'metadata', 'workspace_id',
  'access_count', 'last_accessed_at', 'created_at', 'updated_at']

// expected returns the memories of a file, one object each. Numbers in metadata are compared as text,
// because JavaScript would round them.
export function expected(path) {
  return readFileSync(path, 'utf8').split('\n').filter((line) => line !== '').map((line) => {
    const m = JSON.parse(line)
    m.access_count = BigInt(/"access_count":(-?\d+),"last_accessed_at":[^{}]*\}$/.exec(line)[1])
    const start = line.indexOf(',"metadata":', line.indexOf('"categories":')) + ',"metadata":'.length
    m.metadata = m.metadata === null ? null : line.slice(start, line.lastIndexOf(',"workspace_id":'))
    return m
  })
}

// same compares the rows of a reader with the memories. A row has the columns of the file by name:
// UUIDs as text, categories as an array, JSON as text, access_count and times as BigInts, times in
// microseconds since 1970.
export function same(rows, memories) {
  assert.equal(rows.length, memories.length)
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]
    const exact = row.exact_values === null ? {} : JSON.parse(row.exact_values)
    for (const column of columns) {
      const got = row[column] ?? null
      let want = memories[i][column]
      if (column.endsWith('_at') && want !== null) {
        const [micros, inside] = instant(want)
        assert.equal(exact[column], inside ? undefined : want, `row ${i}: exact_values.${column}`)
        want = micros
      }
      if (column === 'categories' && want !== null) {
        if (exact.categories !== undefined) assert.deepEqual(exact.categories, want)
        want = want.flat(Infinity)
        if (got.length === want.length && got.every((item, j) => item === want[j])) continue
      }
      if (got !== want) assert.deepEqual(withoutMark(got), withoutMark(want), `row ${i}: ${column}`)
    }
  }
}

// withoutMark removes a byte order mark at the start of a text, because TextDecoder, which the readers
// use, removes it too.
function withoutMark(value) {
  if (Array.isArray(value)) return value.map(withoutMark)
  return typeof value === 'string' ? value.replace(/^\ufeff/, '') : value
}

// instant returns a time of a file in microseconds since 1970, and whether a timestamp column holds it.
function instant(text) {
  const m = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z$/.exec(text)
  if (!m || m[1] === '0000') {
    return text.startsWith('-') || text.startsWith('0000') ? [-62135596800000000n, false] : [253402300799999999n, false]
  }
  const date = new Date(0)
  date.setUTCFullYear(+m[1], +m[2] - 1, +m[3])
  date.setUTCHours(+m[4], +m[5], +m[6])
  return [BigInt(date.getTime()) * 1000n + BigInt(m[7]), true]
}
