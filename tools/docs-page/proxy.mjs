// A proxy between a browser and the service. It adds the API key, as a website's own server would, and
// can break connections in the middle of an answer.
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

// startProxy resolves to {base, seen, cuts, stop}. '/' is a page with a link to path.
// - seen has an entry for every request to the API: {range, ifRange, status, encoding, sent, cut}, where
//   sent counts the bytes of the answer's body.
// - The test pushes cuts, and each breaks one answer, in turn: {after, reset}, where after is the fraction
//   of the body to send first, and reset tells whether to reset the connection instead of closing it.
export async function startProxy(service, path, { addKey = true, link = 'download' } = {}) {
  const seen = []
  const cuts = []
  const server = createServer(async (incoming, outgoing) => {
    if (incoming.url === '/') {
      outgoing.setHeader('Content-Type', 'text/html')
      return outgoing.end(`<!doctype html><title>export</title><a ${link} href="${path}">the file</a>`)
    }
    if (!incoming.url.startsWith('/v1/')) return outgoing.writeHead(404).end()
    const headers = { ...incoming.headers, ...(addKey && { 'x-api-key': service.key }) }
    const sent = request(service.base + incoming.url, { headers, agent: false }).end()
    const [answer] = await once(sent, 'response')
    sent.on('error', () => {}) // reading the answer throws the same error
    const entry = { range: headers.range, ifRange: headers['if-range'], status: answer.statusCode, encoding: answer.headers['content-encoding'], sent: 0, cut: false }
    seen.push(entry)
    outgoing.writeHead(answer.statusCode, answer.headers)
    await forward(answer, outgoing, entry, cuts.shift())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = () => {
    server.closeAllConnections()
    server.close()
  }
  return { base: `http://127.0.0.1:${server.address().port}`, seen, cuts, stop }
}

async function forward(answer, outgoing, entry, cut) {
  const limit = cut ? Math.floor(answer.headers['content-length'] * cut.after) : Infinity
  try {
    for await (const chunk of answer) {
      const piece = chunk.subarray(0, limit - entry.sent)
      entry.sent += piece.length
      await new Promise((resolve, reject) => outgoing.write(piece, (error) => (error ? reject(error) : resolve())))
      if (entry.sent === limit) break
    }
  } catch { // either side is gone
    return outgoing.destroy()
  }
  if (!cut) return outgoing.end()
  await sleep(500) // a reset discards what the browser has not read yet
  if (cut.reset) outgoing.socket.resetAndDestroy()
  else outgoing.socket.destroy()
  entry.cut = true
}
