// Starts the real service with its own database and Temporal, and a browser that cannot reach any
// other server.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const root = fileURLToPath(new URL('../../', import.meta.url))

// startService resolves to {base, key, state, stop} once the API answers. state is the path of its
// directory.
export async function startService({ memories = 200, env = {} } = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'memexport-docs-'))
  const state = join(dir, 'dev')
  const flags = ['dev', '--dir', state, '--http', '127.0.0.1:0', '--temporal-port', '0', '--ui-port', '0', '--memories', String(memories)]
  const program = join(root, 'bin/memexport')
  const child = spawn(program, flags, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const exited = once(child, 'exit')
  const stop = async () => {
    child.kill('SIGTERM')
    await exited
    // If root runs this, Postgres keeps its data outside dir. The program knows where.
    spawnSync(program, ['dev', 'clean', '--dir', state], { stdio: ['ignore', 'ignore', 'inherit'] })
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
  const ended = exited.then(() => Promise.reject(new Error('memexport dev ended:\n' + output)))
  const late = sleep(300_000, undefined, { ref: false }).then(() => Promise.reject(new Error('memexport dev is not ready after 5 minutes:\n' + output)))
  await Promise.race([served, ended, late])
  const read = (name) => readFileSync(join(state, name), 'utf8').trim()
  return { base: read('base-url'), key: read('api-key'), state, stop }
}

// startBrowser starts a new Chromium and resolves to {context, stop}. Chromium resolves no host
// names, so neither a page nor Chromium itself can reach another server.
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
  throw new Error('Chromium is not on PATH: install it (apt-get install chromium), or set CHROMIUM to its path')
}
