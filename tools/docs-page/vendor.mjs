// Downloads the component that draws the docs page, verifies its SHA-256, and writes it to
// openapi/docs as a gzip file, together with the licences of everything that is bundled in it. To
// change the version: change the two constants, run this, and change the file name in
// openapi/docs.go.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const version = '1.72.1'
const sha256 = 'bf091006bdc3af6067af77c2f534812e3e633e94a94e87138069f570f33b762c'
// Packages that the component bundles without depending on them. They are installed only for their
// licences.
const bundled = ['unist-util-find-after', 'vue-demi']

const out = fileURLToPath(new URL('../../openapi/docs/', import.meta.url))
const dir = mkdtempSync(join(tmpdir(), 'memexport-docs-'))
try {
  writeFileSync(join(dir, 'package.json'), '{"private": true}')
  const install = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', `@scalar/api-reference@${version}`, ...bundled]
  execFileSync('npm', install, { cwd: dir, stdio: 'inherit' })

  const modules = join(dir, 'node_modules')
  const file = join(modules, '@scalar/api-reference/dist/browser/standalone.js')
  const content = readFileSync(file)
  const sum = createHash('sha256').update(content).digest('hex')
  if (sum !== sha256) throw new Error(`standalone.js of version ${version} has the SHA-256 ${sum} instead of ${sha256}: find out why before you use it`)

  writeFileSync(join(out, `scalar-${version}.js.gz`), gzipSync(content, { level: 9 }))
  writeFileSync(join(out, 'licenses.txt'), licenses(modules, JSON.parse(readFileSync(file + '.map')).sources))
} finally {
  rmSync(dir, { recursive: true })
}

// licenses returns every licence text once. Above each text are the names of the packages that have
// it.
function licenses(modules, sources) {
  const packages = new Set(['@scalar/components']) // this stands for all packages of Scalar, which have the same text
  for (const source of sources) {
    const name = source.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]
    if (name) packages.add(name)
  }
  const users = new Map()
  for (const name of [...packages].sort()) {
    const text = license(join(modules, name))
    users.set(text, [...(users.get(text) ?? []), name === '@scalar/components' ? '@scalar/*' : name])
  }
  const blocks = [...users].map(([text, names]) => names.join(', ') + '\n\n' + text)
  return `What is in scalar-${version}.js, and its licences.\n\n` + blocks.join('\n' + '-'.repeat(80) + '\n')
}

function license(folder) {
  const files = readdirSync(folder).filter((name) => /^(licen[cs]e|copying|notice)/i.test(name))
  if (files.length > 0) return files.map((name) => readFileSync(join(folder, name), 'utf8').replaceAll('\r', '').trim() + '\n').join('\n')
  const { license, author } = JSON.parse(readFileSync(join(folder, 'package.json')))
  return `${license}, ${author?.name ?? author ?? 'its authors'}\n`
}
