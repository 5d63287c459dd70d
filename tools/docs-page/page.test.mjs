import assert from 'node:assert/strict'
import { mkdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { after, before, test } from 'node:test'
import { startBrowser, startService } from './service.mjs'

const screenshots = fileURLToPath(new URL('screenshots/', import.meta.url))
const wide = { width: 1440, height: 900 }
const narrow = { width: 390, height: 844 }

let service
before(async () => {
  rmSync(screenshots, { recursive: true, force: true })
  mkdirSync(screenshots)
  service = await startService()
})
after(() => service?.stop())

// open opens the docs page in a new browser and calls look(page, shot), where shot(name) takes a
// screenshot. The test fails if the page sends a request to another origin, or if an unexpected
// error appears in the browser's console.
async function open(t, { path = '/docs', expected = [], ...options }, look) {
  const browser = await startBrowser(options)
  t.after(browser.stop)
  const complaints = []
  const requests = []
  const page = await browser.context.newPage()
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI}`))
  })
  page.on('console', (message) => {
    if (['error', 'warning', 'assert'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  browser.context.on('request', (request) => requests.push(request.url()))
  await browser.context.route((url) => url.origin !== service.base && url.protocol !== 'data:', (route) => route.abort())

  await page.goto(service.base + path)
  const shot = async (name) => {
    await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {}))))
    await page.screenshot({ path: `${screenshots}${name}.png` })
    const { content, viewport } = await page.evaluate(() => ({ content: document.documentElement.scrollWidth, viewport: innerWidth }))
    assert.ok(content <= viewport, `${name}: ${content} pixels wide, in a window of ${viewport}`)
  }
  await look(page, shot)

  const foreign = requests.filter((url) => !url.startsWith(service.base + '/') && !url.startsWith('data:') && !url.startsWith('blob:' + service.base))
  assert.deepEqual(foreign, [])
  assert.ok(requests.includes(service.base + '/openapi.json') || options.javaScriptEnabled === false)
  assert.deepEqual(complaints, expected)
}

const intro = (page) => page.getByRole('heading', { name: 'Exports API', level: 1 })
const keyField = (page) => page.locator('.scalar-password-input').first()
const dialog = (page) => page.getByRole('dialog')

// tryIt goes to the URL of an operation and opens the dialog that sends requests.
async function tryIt(page, method, path) {
  await page.evaluate((hash) => { location.hash = hash }, `#tag/exports/${method}${path}`)
  await page.getByRole('button', { name: new RegExp(`Test Request \\(${method} ${path.replace(/[{}]/g, '\\$&')}\\)`, 'i') }).click()
  await dialog(page).waitFor()
}

// send presses Send. It resolves to the request that the page sent and the status of the response.
async function send(page) {
  const answered = page.waitForResponse((r) => r.url().includes('/v1/'))
  await dialog(page).getByRole('button', { name: /^Send (get|post) request to/ }).click()
  const response = await answered
  return { request: response.request(), status: response.status() }
}

for (const [size, viewport] of Object.entries({ wide, narrow })) {
  for (const colorScheme of ['light', 'dark']) {
    test(`the page shows the API: ${size}, ${colorScheme}`, (t) => open(t, { path: '/', viewport, colorScheme }, async (page, shot) => {
      await intro(page).waitFor()
      assert.equal(new URL(page.url()).pathname, '/docs')
      assert.equal(await page.title(), 'Exports API')
      const dark = await page.evaluate(() => document.body.classList.contains('dark-mode'))
      assert.equal(dark, colorScheme === 'dark')
      await shot(`${size}-${colorScheme}-intro`)
      for (const name of ['YAML', 'JSON', 'in version 3.0']) {
        const link = await page.getByRole('link', { name, exact: true }).getAttribute('href')
        assert.equal((await page.request.get(service.base + link)).status(), 200)
      }
      for (const title of ['List exports', 'Create an export', 'Delete an export', 'Get an export', 'Download an export']) {
        const heading = page.getByRole('heading', { name: title, exact: true })
        for (let i = 0; i < 60 && !(await heading.isVisible()); i++) { // the page draws a section only when it is scrolled near the window
          await page.mouse.wheel(0, 400)
          await page.waitForTimeout(50)
        }
        await heading.scrollIntoViewIfNeeded()
        await shot(`${size}-${colorScheme}-${title.split(' ')[0].toLowerCase()}`)
      }
    }))
  }

  test(`a pasted key creates an export from the page: ${size}`, (t) => open(t, { viewport }, async (page, shot) => {
    await keyField(page).fill(service.key)
    await tryIt(page, 'POST', '/v1/exports')
    const { request, status } = await send(page)
    assert.equal(status, 202)
    assert.equal(request.url(), service.base + '/v1/exports') // the URL has no filters, because none is ticked
    const headers = await request.allHeaders()
    assert.equal(headers['x-api-key'], service.key)
    assert.equal(headers['idempotency-key'], undefined)
    await dialog(page).getByText('202 Accepted').waitFor()
    await dialog(page).getByText('"PENDING"').scrollIntoViewIfNeeded()
    await shot(`${size}-created`)
    const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie]))
    assert.ok(!kept.includes(service.key), 'the page stores the key')
  }))
}

const unauthorized = 'Failed to load resource: the server responded with a status of 401 (Unauthorized)'

test('the page shows the problem details for a wrong key', (t) => open(t, { viewport: wide, expected: [unauthorized] }, async (page, shot) => {
  await keyField(page).fill('msk_test_WRONG')
  await tryIt(page, 'GET', '/v1/exports')
  assert.equal((await send(page)).status, 401)
  await dialog(page).getByText('401 Unauthorized').waitFor()
  await dialog(page).getByText('"UNAUTHORIZED"', { exact: true }).waitFor()
  await shot('wide-wrong-key')
}))

test('without JavaScript the page links to the documents', (t) => open(t, { viewport: narrow, javaScriptEnabled: false }, async (page) => {
  await page.screenshot({ path: `${screenshots}narrow-without-javascript.png` })
  for (const path of ['/openapi.yaml', '/openapi.json', '/openapi-3.0.yaml']) {
    await page.locator(`noscript a[href="${path}"]`).waitFor()
  }
}))
