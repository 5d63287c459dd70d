// Reads the files in the directory READERS_DIR. For each NAME there are NAME.ndjson, which has been
// compared with the table, and NAME.parquet, NAME.csv and NAME.json, which this test compares with
// NAME.ndjson. READERS_URL is the URL of a download of large.parquet, and READERS_KEY is its API key.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { test } from 'node:test'
import { DuckDBInstance } from '@duckdb/node-api'
import { tableFromIPC } from 'apache-arrow'
import { asyncBufferFromFile, asyncBufferFromUrl, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { readParquet } from 'parquet-wasm/node'
import { startDuckDB } from './browser.mjs'
import { expected, same } from './compare.mjs'

const dir = process.env.READERS_DIR
const names = readdirSync(dir).filter((name) => name.endsWith('.ndjson')).map((name) => name.slice(0, -'.ndjson'.length))
assert.ok(names.length >= 4, `${dir} has only the files of ${names}`)

const duckdb = await (await DuckDBInstance.create(':memory:')).connect()
await duckdb.run(`SET TimeZone = 'UTC'`)
const query = async (sql) => (await duckdb.runAndReadAll(sql)).getRowObjects()

const textDecoder = new TextDecoder()
const parsers = { timestampFromMicroseconds: (micros) => micros, jsonFromBytes: (bytes) => bytes && textDecoder.decode(bytes) }

for (const name of names) {
  const path = (extension) => `${dir}/${name}.${extension}`
  const memories = expected(path('ndjson'))

  test(`DuckDB reads ${name}.parquet`, async () => {
    const rows = await query(`SELECT * REPLACE (id::VARCHAR AS id, workspace_id::VARCHAR AS workspace_id, metadata::VARCHAR AS metadata,
      exact_values::VARCHAR AS exact_values, epoch_us(last_accessed_at) AS last_accessed_at, epoch_us(created_at) AS created_at,
      epoch_us(updated_at) AS updated_at) FROM '${path('parquet')}'`)
    same(rows.map((row) => ({ ...row, categories: row.categories?.items ?? null })), memories)
  })

  test(`hyparquet reads ${name}.parquet`, async () => {
    const file = await asyncBufferFromFile(path('parquet'))
    same(await parquetReadObjects({ file, compressors, parsers }), memories)
  })

  test(`parquet-wasm (Rust's parquet) reads ${name}.parquet`, () => {
    const table = tableFromIPC(readParquet(new Uint8Array(readFileSync(path('parquet')))).intoIPCStream())
    const raw = (column, type) => [...table.getChild(column).data].flatMap((data) =>
      Array.from({ length: data.length }, (_, i) => (data.getValid(i) ? type(data.values, data.offset + i) : null)))
    const uuid = (values, i) => {
      const hex = Buffer.from(values.subarray((i) * 16, (i + 1) * 16)).toString('hex')
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
    }
    const number = (values, i) => values[i]
    const special = {
      id: raw('id', uuid), workspace_id: raw('workspace_id', uuid), last_accessed_at: raw('last_accessed_at', number),
      created_at: raw('created_at', number), updated_at: raw('updated_at', number),
    }
    const rows = []
    for (let i = 0; i < table.numRows; i++) {
      const row = Object.fromEntries(table.schema.fields.map(({ name }) => [name, special[name] ? special[name][i] : table.getChild(name).get(i)]))
      rows.push({ ...row, categories: row.categories === null ? null : [...row.categories] })
    }
    same(rows, memories)
  })

  test(`DuckDB reads ${name}.csv and ${name}.json as docs/reading.md says`, async () => {
    if (memories.length === 0) return // a reader cannot tell the types of columns without rows
    const text = `id, memory, user_id, agent_id, session_id, workspace_id`
    const counts = new Set()
    for (const from of [
      `read_csv('${path('csv')}', header = true, all_varchar = true, auto_detect = false, delim = ',', quote = '"', escape = '"', strict_mode = true,
        columns = {${csvColumns()}}, max_line_size = 300000000)`,
      `read_json('${path('json')}', format = 'array', maximum_object_size = 300000000, columns = {${jsonColumns()}})`,
      `read_json('${path('ndjson')}', format = 'newline_delimited', maximum_object_size = 300000000, columns = {${jsonColumns()}})`,
    ]) {
      const [{ n }] = await query(`SELECT count(*) AS n FROM (SELECT ${text} FROM ${from})`)
      counts.add(n)
    }
    assert.deepEqual([...counts], [BigInt(memories.length)])
  })

  test(`${name}.parquet describes itself`, async () => {
    const metadata = Object.fromEntries((await query(`SELECT decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata('${path('parquet')}')`))
      .map(({ key, value }) => [key, value]))
    assert.match(metadata['memexport.export_id'], /^[0-9a-f-]{36}$/)
    assert.equal(metadata['memexport.memories'], String(memories.length))
    assert.equal(metadata['memexport.filters'], '')
    const groups = await query(`SELECT row_group_id, stats_min_value AS min, stats_max_value AS max, row_group_num_rows AS n
      FROM parquet_metadata('${path('parquet')}') WHERE path_in_schema = 'created_at' ORDER BY 1`)
    assert.equal(groups.reduce((sum, { n }) => sum + n, 0n), BigInt(memories.length))
    for (let i = 1; i < groups.length; i++) {
      assert.ok(groups[i - 1].max <= groups[i].min, `row group ${i} begins before the one before it ends`)
    }
  })
}

function csvColumns() {
  return Object.keys(expected(`${dir}/one.ndjson`)[0]).map((column) => `'${column}': 'VARCHAR'`).join(', ')
}

function jsonColumns() {
  return csvColumns().replace(`'categories': 'VARCHAR'`, `'categories': 'JSON'`).replace(`'metadata': 'VARCHAR'`, `'metadata': 'JSON'`)
}

test('a query of hyparquet over HTTP reads less than the file', async () => {
  let bytes = 0
  const fetchCounting = async (url, init) => {
    const response = await fetch(url, init)
    if (init?.method !== 'HEAD') bytes += Number(response.headers.get('content-length'))
    return response
  }
  const size = statSync(`${dir}/large.parquet`).size
  const requestInit = { headers: { 'X-Api-Key': process.env.READERS_KEY } }
  const file = await asyncBufferFromUrl({ url: process.env.READERS_URL, byteLength: size, fetch: fetchCounting, requestInit })
  const metadata = await parquetMetadataAsync(file)
  const rows = await parquetReadObjects({ file, metadata, compressors, columns: ['user_id', 'created_at'] })
  assert.ok(metadata.row_groups.length > 1)
  assert.equal(rows.length, Number(metadata.num_rows))
  assert.ok(bytes > 0 && bytes < size / 2, `${bytes} of ${size} bytes were read`)
})

test('queries of DuckDB in a browser over HTTP read less than the file', async (t) => {
  const { origin, pathname } = new URL(process.env.READERS_URL)
  const memories = expected(`${dir}/large.ndjson`)
  const last = memories.at(-1)
  const size = statSync(`${dir}/large.parquet`).size
  for (const [select, where, want] of [
    ['count(*)::INT AS n, sum(access_count)::DOUBLE AS sum, count(DISTINCT user_id)::INT AS users', 'true', {
      n: memories.length,
      sum: memories.reduce((sum, m) => sum + Number(m.access_count), 0),
      users: new Set(memories.map((m) => m.user_id).filter((user) => user !== null)).size,
    }],
    ['user_id, session_id', `created_at = '${last.created_at}'::TIMESTAMPTZ AND access_count = ${last.access_count}`,
      { user_id: last.user_id, session_id: last.session_id }],
  ]) {
    const duckdb = await startDuckDB(origin, process.env.READERS_KEY) // a new one, because it keeps what it has read
    try {
      assert.deepEqual(await duckdb.query(`SELECT ${select} FROM read_parquet('${duckdb.base}${pathname}') WHERE ${where}`), [want])
    } finally {
      await duckdb.stop()
    }
    const bytes = duckdb.served.reduce((sum, request) => sum + request.bytes, 0)
    t.diagnostic(`${duckdb.served.length} requests, ${bytes} of ${size} bytes for ${select}`)
    assert.ok(duckdb.served.every(({ method, range, status }) => method === 'HEAD' || (range && status === 206)), JSON.stringify(duckdb.served))
    assert.ok(bytes > 0 && bytes < size / 2, `${bytes} of ${size} bytes were read`)
  }
})
