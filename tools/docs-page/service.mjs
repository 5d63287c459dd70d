// Starts what the test looks at: the real service with a database and a Temporal of its own, and a
// browser that can reach nothing else.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const root = fileURLToPath(new URL('../../', import.meta.url))

// startService resolves once the API answers: {base, key, state, stop}; state is its directory.
export async function startService({ memories = 200, env = {} } = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'memexport-docs-'))
  const state = join(dir, 'dev')
  const flags = ['dev', '--dir', state, '--http', '127.0.0.1:0', '--temporal-port', '0', '--ui-port', '0', '--memories', String(memories)]
  const child = spawn(join(root, 'bin/memexport'), flags, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const exited = once(child, 'exit')
  const stop = async () => {
    child.kill('SIGTERM')
    await exited
    rmSync(dir, { recursive: true })
  }
  let output = ''
  const served = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk
        if (output.includes('Press Ctrl-C to stop')) resolve()
      })
    }
  })
  await Promise.race([served, exited.then(() => Promise.reject(new Error('memexport dev ended:\n' + output)))])
  const read = (name) => readFileSync(join(state, name), 'utf8').trim()
  return { base: read('base-url'), key: read('api-key'), state, stop }
}

// startBrowser resolves to a fresh Chromium: {context, stop}. Every name but the service's fails to
// resolve in it, whoever asks.
export async function startBrowser(options) {
  const profile = mkdtempSync(join(tmpdir(), 'memexport-chromium-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: findChromium(), headless: true, ...options,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1'],
  })
  return { context, stop: () => context.close().then(() => rmSync(profile, { recursive: true })) }
}

function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM
  for (const folder of process.env.PATH.split(delimiter)) {
    for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
      const file = join(folder, name)
      try {
        accessSync(file, constants.X_OK)
        return file
      } catch {}
    }
  }
  throw new Error('there is no Chromium on PATH: install it (apt-get install chromium), or set CHROMIUM to its path')
}
