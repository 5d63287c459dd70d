// Runs a query with DuckDB in Chromium. DuckDB's own reader of HTTP is in an extension that must be
// downloaded; in a browser it reads with the browser's requests. 1.28.0 of duckdb-wasm is the last
// version that has Parquet built in.
import { createServer, request } from 'node:http'
import { readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startBrowser } from '../docs-page/service.mjs'

const modules = fileURLToPath(new URL('node_modules', import.meta.url))
const types = { '.mjs': 'text/javascript', '.js': 'text/javascript', '.wasm': 'application/wasm' }
const page = `<!doctype html><script type="importmap">${JSON.stringify({ imports: {
  '@duckdb/duckdb-wasm': '/modules/@duckdb/duckdb-wasm/dist/duckdb-browser.mjs',
  'apache-arrow': '/modules/@duckdb/duckdb-wasm/node_modules/apache-arrow/Arrow.dom.mjs',
  flatbuffers: '/modules/@duckdb/duckdb-wasm/node_modules/flatbuffers/mjs/flatbuffers.js',
  tslib: '/modules/tslib/tslib.es6.mjs',
} })}</script>`

// startDuckDB resolves to {base, query, served, stop}. base is the address of a server that passes
// requests below /v1 on to the API at target with the key, which a page cannot add to DuckDB's
// requests. query resolves to the rows. served lists the passed requests with the bytes of each answer.
export async function startDuckDB(target, key) {
  const served = []
  const server = createServer((from, to) => {
    const { pathname } = new URL(from.url, 'http://x')
    if (pathname.startsWith('/v1/')) return pass(from, to, target, key, served)
    if (pathname === '/') return to.writeHead(200, { 'Content-Type': 'text/html' }).end(page)
    try {
      const file = readFileSync(join(modules, pathname.slice('/modules'.length)))
      to.writeHead(200, { 'Content-Type': types[extname(pathname)] ?? 'application/octet-stream' }).end(file)
    } catch {
      to.writeHead(404).end()
    }
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  const base = `http://127.0.0.1:${server.address().port}`
  const browser = await startBrowser({})
  const tab = await browser.context.newPage()
  await tab.goto(base)
  await tab.evaluate(async () => {
    const { AsyncDuckDB, VoidLogger } = await import('@duckdb/duckdb-wasm')
    const dist = `${location.origin}/modules/@duckdb/duckdb-wasm/dist`
    const db = new AsyncDuckDB(new VoidLogger(), new Worker(`${dist}/duckdb-browser-eh.worker.js`))
    await db.instantiate(`${dist}/duckdb-eh.wasm`)
    window.duckdb = await db.connect()
  })
  const query = (sql) => tab.evaluate(async (sql) => (await window.duckdb.query(sql)).toArray().map((row) => row.toJSON()), sql)
  return { base, query, served, stop: () => browser.stop().then(() => server.close()) }
}

function pass(from, to, target, key, served) {
  const headers = { ...from.headers, host: new URL(target).host, 'x-api-key': key }
  const answer = request(new URL(from.url, target), { method: from.method, headers }, (answer) => {
    const line = { method: from.method, range: from.headers.range, status: answer.statusCode, bytes: 0 }
    served.push(line)
    to.writeHead(answer.statusCode, answer.headers)
    answer.on('data', (chunk) => { line.bytes += chunk.length })
    answer.pipe(to)
  })
  answer.on('error', () => to.destroy())
  from.pipe(answer)
}
