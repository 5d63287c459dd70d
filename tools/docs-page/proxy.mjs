// A proxy between a browser and the service. It adds the API key, as a website's own server would,
// and can break a connection in the middle of a response.
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

// startProxy resolves to {base, seen, cuts, stop}. The path / is a page with a link to path.
// - seen has an entry for every request to the API: {range, ifRange, status, encoding, sent, cut}. sent is
//   the number of bytes of the response body that were forwarded.
// - The test pushes {after, reset} to cuts. Each entry breaks one response, in order. after is the fraction
//   of the body to send before the break. If reset is true, the connection is reset instead of closed.
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
    sent.on('error', () => {}) // reading answer throws the same error
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
  } catch { // the browser or the API has closed its connection
    return outgoing.destroy()
  }
  if (!cut) return outgoing.end()
  await sleep(500) // wait, because after a reset the browser discards what it has not read yet
  if (cut.reset) outgoing.socket.resetAndDestroy()
  else outgoing.socket.destroy()
  entry.cut = true
}
