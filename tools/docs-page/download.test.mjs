// A real Chromium downloads files while its connection breaks. Chromium must then either save the
// whole file or show that the download failed.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProxy } from './proxy.mjs'
import { startBrowser, startService } from './service.mjs'

// The states of a download. The index is the number in chrome://downloads.
const states = ['in progress', 'cancelled', 'complete', 'paused', 'dangerous', 'interrupted']

for (const compression of ['none', 'gzip']) {
  describe(`EXPORT_COMPRESSION=${compression}`, () => {
    let service
    before(async () => { service = await startService({ memories: 20_000, env: { EXPORT_COMPRESSION: compression } }) })
    after(() => service?.stop())

    test('a download whose connection is closed resumes by itself', (t) => visit(t, service, {}, async ({ file, proxy, click, until }) => {
      proxy.cuts.push({ after: 0.5 })
      await click()
      const { path } = await until('complete')
      assert.equal(digest(path), file.sha256)
      resumed(t, proxy.seen, file)
    }))

    test('a download whose connection is reset fails, and resumes with the Resume button', (t) => visit(t, service, {}, async ({ file, proxy, click, until, resume }) => {
      proxy.cuts.push({ after: 0.5, reset: true })
      await click()
      const { path, reason } = await until('interrupted')
      assert.match(reason, /Failed/)
      assert.ok(!existsSync(path), 'a broken download has the name of a complete file')
      await resume()
      await until('complete')
      assert.equal(digest(path), file.sha256)
      resumed(t, proxy.seen, file)
    }))

    test('a download that is reset several times can still be completed', (t) => visit(t, service, {}, async ({ file, proxy, click, until, resume }) => {
      const times = 4
      for (let i = 0; i < times; i++) proxy.cuts.push({ after: 0.3 + 0.1 * i, reset: true })
      await click()
      for (let i = 0; i < times; i++) {
        const { path } = await until('interrupted', i + 1)
        assert.ok(!existsSync(path))
        await resume()
      }
      assert.equal(digest((await until('complete')).path), file.sha256)
      t.diagnostic(`sent: ${proxy.seen.map((s) => s.sent).join(' + ')} of ${file.size_bytes} bytes`)
    }))

    test('a download that breaks every time fails', (t) => visit(t, service, {}, async ({ proxy, click, until }) => {
      for (let i = 0; i < 20; i++) proxy.cuts.push({ after: 0.1 })
      await click()
      const { path, reason } = await until('interrupted')
      assert.match(reason, /Failed/)
      assert.ok(!existsSync(path))
      t.diagnostic(`${proxy.seen.length} attempts, then: ${reason}`)
    }))

    test('a download fails when its export is deleted', (t) => visit(t, service, {}, async ({ file, proxy, click, until, resume }) => {
      proxy.cuts.push({ after: 0.5, reset: true })
      await click()
      const { path } = await until('interrupted')
      assert.equal((await api(service, `/v1/exports/${file.id}`, { method: 'DELETE' })).status, 204)
      await resume()
      await waitFor('the second request', () => proxy.seen.length > 1)
      const { reason } = await until('interrupted')
      assert.equal(proxy.seen[1].status, 404)
      assert.ok(!existsSync(path))
      t.diagnostic(reason)
    }))

    test('a download fails when the store has lost a part', (t) => visit(t, service, {}, async ({ file, proxy, click, until }) => {
      const parts = join(service.state, 'bucket/exports', file.id)
      rmSync(join(parts, readdirSync(parts).sort().at(-1)))
      await click()
      const { path, reason } = await until('interrupted')
      assert.ok(proxy.seen[0].sent > 0, 'nothing was sent before the lost part')
      assert.ok(!existsSync(path))
      t.diagnostic(`${proxy.seen.length} attempts, then: ${reason}`)
    }))

    test('a script notices a broken connection, and fetches the rest with Range', (t) => visit(t, service, { addKey: false }, async ({ file, proxy, page }) => {
      proxy.cuts.push({ after: 0.5 })
      const result = await page.evaluate(fetchInTwo, { key: service.key, size: file.size_bytes, etag: `"${file.sha256}"` })
      assert.equal(result.sha256, file.sha256)
      assert.equal(result.broken, 'TypeError')
      assert.equal(proxy.seen[1].status, 206)
      assert.equal(proxy.seen[1].sent, file.size_bytes - result.first)
      t.diagnostic(`sent: ${proxy.seen.map((s) => s.sent).join(' + ')} of ${file.size_bytes} bytes`)
    }))

    test('a download link sends no key, and fails', (t) => visit(t, service, { addKey: false }, async ({ proxy, page, click, until }) => {
      await page.context().setExtraHTTPHeaders({ 'X-Api-Key': service.key }) // Chromium does not send this header when it downloads by a link
      await click()
      const { path, reason } = await until('interrupted')
      assert.equal(proxy.seen[0].status, 401)
      assert.ok(!existsSync(path))
      t.diagnostic(reason)
    }))

    test('a download by navigation sends the key, but its resumption does not, and fails', (t) => visit(t, service, { addKey: false, link: '' }, async ({ proxy, page, click, until }) => {
      await page.context().setExtraHTTPHeaders({ 'X-Api-Key': service.key })
      proxy.cuts.push({ after: 0.5 })
      await click()
      const { path, reason } = await until('interrupted')
      assert.deepEqual(proxy.seen.map((s) => s.status), [200, 401])
      assert.ok(!existsSync(path))
      t.diagnostic(reason)
    }))
  })

  // resumed checks the requests before and after a cut. If the first response was compressed,
  // Chromium requests a range that it counts in decompressed bytes, but sends the ETag of the
  // compressed file in If-Range. So the API must send the whole uncompressed file.
  function resumed(t, [first, second, ...more], file) {
    const compressed = compression === 'gzip'
    assert.deepEqual(more, [])
    assert.equal(first.encoding, compressed ? 'gzip' : undefined)
    assert.match(second.range, /^bytes=[1-9][0-9]*-$/)
    assert.equal(second.ifRange, `"${file.sha256}${compressed ? '-gzip' : ''}"`)
    assert.equal(second.encoding, undefined)
    assert.equal(second.status, compressed ? 200 : 206)
    assert.equal(second.sent, compressed ? file.size_bytes : file.size_bytes - first.sent)
    t.diagnostic(`sent: ${first.sent} + ${second.sent} of ${file.size_bytes} bytes; asked for ${second.range}`)
  }
}

const digest = (path) => createHash('sha256').update(readFileSync(path)).digest('hex')

const api = (service, path, options) => fetch(service.base + path, { ...options, headers: { 'X-Api-Key': service.key, Prefer: 'wait=60' } })

// visit creates an export, opens a page with a link to its file in a new browser, and calls look.
async function visit(t, service, options, look) {
  const { id } = await (await api(service, '/v1/exports?format=json', { method: 'POST' })).json()
  const file = await (await api(service, `/v1/exports/${id}`)).json()
  assert.equal(file.status, 'READY')
  const proxy = await startProxy(service, `/v1/exports/${id}/download`, options)
  t.after(proxy.stop)
  const folder = mkdtempSync(join(tmpdir(), 'memexport-download-'))
  const browser = await startBrowser({ downloadsPath: folder })
  t.after(() => browser.stop().then(() => rmSync(folder, { recursive: true })))
  const page = await browser.context.newPage()
  await page.goto(proxy.base)
  const list = await browser.context.newPage() // this page is the only way to resume, because no automation protocol can do it
  await list.goto('chrome://downloads')

  const inList = () => list.evaluate(() => {
    const item = document.querySelector('downloads-manager').shadowRoot.querySelector('downloads-item')
    return item && { state: item.data.state, canResume: item.data.resume, reason: item.data.lastReasonText, path: item.data.filePath.path ?? item.data.filePath }
  })
  // until waits until the download has the state and at least this many cuts have happened.
  const until = (state, cuts = 0) => waitFor(`the download is ${state}`, async () => {
    const item = await inList()
    return item && states[item.state] === state && proxy.seen.filter((s) => s.cut).length >= cuts && item
  }, inList)
  await look({
    file, proxy, page, until,
    click: () => page.click('a'),
    resume: async () => {
      await waitFor('the download can be resumed', async () => (await inList()).canResume)
      await list.locator('#more-actions').click()
      await list.locator('#pause-or-resume').click()
    },
  })
}

async function waitFor(fact, isTrue, explain = () => '') {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(50)) {
    const value = await isTrue()
    if (value) return value
  }
  assert.fail(`this did not become true: ${fact}; ${JSON.stringify(await explain())}`)
}

// fetchInTwo runs in the page. It downloads until the connection breaks, and then requests the
// rest.
async function fetchInTwo({ key, size, etag }) {
  const path = document.querySelector('a').href
  const chunks = []
  let received = 0
  const read = async (headers) => {
    const response = await fetch(path, { headers: { 'X-Api-Key': key, ...headers } })
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read()
      if (done) return
      chunks.push(value)
      received += value.length
    }
  }
  const broken = await read({}).then(() => 'nothing', (error) => error.name)
  const first = received
  await read({ Range: `bytes=${first}-`, 'If-Range': etag })
  const sum = await crypto.subtle.digest('SHA-256', await new Blob(chunks).arrayBuffer())
  const sha256 = [...new Uint8Array(sum)].map((b) => b.toString(16).padStart(2, '0')).join('')
  return { broken, first, whole: received === size, sha256 }
}
