// Plays open-remote-ssh, which VSCodium and its relatives use: npm's ssh2, one connection.
// Reads one JSON object of options on stdin, writes one JSON object of what it saw.
'use strict'

const crypto = require('crypto')
const fs = require('fs')
const http = require('http')
const { Client, OpenSSHAgent, utils } = require('ssh2')

const options = JSON.parse(fs.readFileSync(0, 'utf8'))
const seen = { methods: [], offered: [] }

// `none` first, then each key, as the extension does.
function authHandler (keys) {
  const waiting = keys.map(path => ({ path, key: utils.parseKey(fs.readFileSync(path)) }))
  return (left, partial, next) => {
    if (left === null) {
      seen.methods.push('none')
      return next('none')
    }
    seen.offered.push(left)
    const found = left.includes('publickey') ? waiting.shift() : undefined
    if (found === undefined) return next(false)
    seen.methods.push(found.path)
    next({ type: 'publickey', username: options.user, key: found.key })
  }
}

function connect (config) {
  return new Promise((resolve, reject) => {
    const client = new Client()
    client.once('ready', () => resolve(client))
    client.once('error', reject)
    client.connect({
      readyTimeout: 20000,
      hostVerifier: () => true,
      ...config
    })
  })
}

function exec (client, command, more = {}) {
  return new Promise((resolve, reject) => {
    client.exec(command, more, (error, stream) => {
      if (error) return reject(error)
      const found = { stdout: '', stderr: '', code: null, signal: null }
      stream.on('exit', (code, signal) => { found.code = code; found.signal = signal || null })
      stream.on('data', data => { found.stdout += data })
      stream.stderr.on('data', data => { found.stderr += data })
      stream.on('close', () => resolve(found))
    })
  })
}

// An exec channel that stays open: resolves with its first line and the stream.
function held (client, command, more) {
  return new Promise((resolve, reject) => {
    client.exec(command, more, (error, stream) => {
      if (error) return reject(error)
      let text = ''
      stream.on('data', data => {
        text += data
        if (text.includes('\n')) resolve({ line: text.split('\n')[0], stream })
      })
      stream.on('close', () => reject(new Error(`closed after ${text}`)))
    })
  })
}

function get (stream, path) {
  return new Promise((resolve, reject) => {
    const request = http.get({ createConnection: () => stream, path, host: 'x' }, response => {
      let body = ''
      response.on('data', data => { body += data })
      response.on('end', () => resolve(body))
    })
    request.on('error', reject)
  })
}

const forward = (client, host, port) => new Promise((resolve, reject) =>
  client.forwardOut('127.0.0.1', 0, host, port, (error, stream) => error ? reject(error) : resolve(stream)))

const forwardPath = (client, path) => new Promise((resolve, reject) =>
  client.openssh_forwardOutStreamLocal(path, (error, stream) => error ? reject(error) : resolve(stream)))

const call = (target, name, ...given) => new Promise((resolve, reject) =>
  target[name](...given, (error, found) => error ? reject(error) : resolve(found)))

async function open () {
  if (!options.jump) return connect({ host: options.host, port: options.port, username: options.user, ...auth() })
  const relay = await connect({
    host: options.jump.host, port: options.jump.port, username: options.jump.user, authHandler: ['none']
  })
  const sock = await forward(relay, options.host, options.port)
  const client = await connect({ sock, username: options.user, ...auth() })
  client.once('close', () => relay.end())
  return client
}

function auth () {
  const agent = options.agent && new OpenSSHAgent(options.agent)
  return { authHandler: authHandler(options.keys), agent, agentForward: Boolean(agent) }
}

async function install (client) {
  seen.uname = (await exec(client, 'uname -s')).stdout
  if (!options.script) return
  const script = fs.readFileSync(options.script)
  const command = `echo ${script.toString('base64')} | base64 -d | bash -l`
  seen.commandLength = command.length
  const began = process.hrtime.bigint()
  seen.install = await exec(client, command)
  seen.installSeconds = Number(process.hrtime.bigint() - began) / 1e9
}

async function tunnel (client) {
  const results = Object.fromEntries(seen.install.stdout.split('\n')
    .filter(line => line.includes('==')).map(line => line.split('==')))
  seen.results = results
  seen.byPort = await get(await forward(client, '127.0.0.1', Number(results.listeningOn)), '/version')
  seen.bySocket = await get(await forwardPath(client, results.socket), '/version')
  seen.refused = await forward(client, '127.0.0.1', 1).then(() => null, error => error.reason)
  seen.many = (await Promise.all(Array.from({ length: 30 }, async () =>
    get(await forward(client, '127.0.0.1', Number(results.listeningOn)), '/version')))).length
}

async function agent (client) {
  const { line, stream } = await held(client, 'echo "$SSH_AUTH_SOCK"; exec cat', { agentForward: true })
  seen.agentSocket = line
  seen.agentKeys = (await exec(client, `SSH_AUTH_SOCK=${line} ssh-add -l`)).stdout
  seen.agentWithout = (await exec(client, 'ssh-add -l', {})).code
  stream.removeAllListeners('close')
  const closed = new Promise(resolve => stream.on('close', resolve))
  stream.end()
  await closed
}

async function files (client) {
  const sftp = await call(client, 'sftp')
  const folder = `${options.folder}/ssh2 öäü`
  await call(sftp, 'mkdir', folder)
  const data = crypto.randomBytes(3000001)
  fs.writeFileSync(options.local, data)
  await call(sftp, 'fastPut', options.local, `${folder}/file`, { mode: 0o640 })
  await call(sftp, 'fastGet', `${folder}/file`, `${options.local}.back`)
  seen.sameFile = fs.readFileSync(`${options.local}.back`).equals(data)
  await call(sftp, 'writeFile', `${folder}/small`, 'text', { mode: 0o755 })
  seen.small = String(await call(sftp, 'readFile', `${folder}/small`))
  seen.mode = (await call(sftp, 'stat', `${folder}/small`)).mode & 0o777
  await call(sftp, 'symlink', 'small', `${folder}/link`)
  seen.link = await call(sftp, 'readlink', `${folder}/link`)
  await call(sftp, 'ext_openssh_rename', `${folder}/small`, `${folder}/file`)
  seen.names = (await call(sftp, 'readdir', folder)).map(entry => entry.filename).sort()
  seen.missing = await call(sftp, 'stat', `${folder}/none`).then(() => null, error => error.code)
  sftp.end()
}

async function main () {
  let client
  try {
    client = await open()
  } catch (error) {
    seen.error = { message: error.message, level: error.level }
    return
  }
  const closed = new Promise(resolve => client.once('close', resolve))
  client.on('error', error => { seen.error = { message: error.message, level: error.level } })
  try {
    await install(client)
  } catch (error) {
    seen.failed = error.message
    return
  }
  await tunnel(client)
  if (options.agent) await agent(client)
  await files(client)
  client.end()
  await closed
}

main().then(() => {
  process.stdout.write(JSON.stringify(seen))
  process.exit(0)
}, error => {
  process.stderr.write(`${error.stack}\n${JSON.stringify(seen)}\n`)
  process.exit(1)
})
