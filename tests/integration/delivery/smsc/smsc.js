// An SMSC with scripted moods. Commands come as JSON lines on stdin, what happened goes as JSON lines to stdout.
//   {do: "answer", statuses: [88, 0]}   statuses of the next submit_sm, then 0 again
//   {do: "mute"} / {do: "drop"}         the next submit_sm is taken without an answer / with an end of the connection
//   {do: "kick"}                        every connection ends
//   {do: "receipt", id, state, err}     a receipt; {do: "reply", source, text} a message from a handset (header: octets of one part)
'use strict'
const readline = require('node:readline')
const smpp = require('smpp')

const say = (event, rest) => process.stdout.write(JSON.stringify({ event, ...rest }) + '\n')
const STATES = { ENROUTE: 1, DELIVRD: 2, EXPIRED: 3, UNDELIV: 5, REJECTD: 8 }
const sessions = new Set()
let statuses = []
let mood = ''
let taken = 0

const server = smpp.createServer({}, session => {
  sessions.add(session)
  session.on('error', () => {})
  session.on('close', () => sessions.delete(session))
  session.on('bind_transceiver', pdu => {
    const known = pdu.system_id === 'vigie' && pdu.password === 'secret'
    session.send(pdu.response({ command_status: known ? 0 : smpp.ESME_RBINDFAIL }))
    say('bind', { known })
  })
  session.on('enquire_link', pdu => session.send(pdu.response()))
  session.on('unbind', pdu => { session.send(pdu.response()); say('unbind', {}); session.close() })
  session.on('submit_sm', pdu => {
    const status = statuses.shift() || 0
    const id = status ? '' : `m${++taken}`
    const payload = pdu.message_payload
    const text = payload ? payload.message || payload : pdu.short_message.message
    say('submit', {
      id, status, text: String(text), source: pdu.source_addr, ton: pdu.source_addr_ton, npi: pdu.source_addr_npi,
      destination: pdu.destination_addr, coding: pdu.data_coding, wants: pdu.registered_delivery, priority: pdu.priority_flag,
      validity: pdu.validity_period, long: Boolean(payload)
    })
    const now = mood
    mood = ''
    if (now === 'drop') return session.destroy()
    if (now === 'mute') return
    session.send(pdu.response({ command_status: status, message_id: id }))
  })
})

const deliver = (event, pdu) => {
  for (const session of sessions) {
    session.deliver_sm(pdu, answer => say(event, { status: answer.command_status }))
    return
  }
  say(event, { status: -1 })
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  const command = JSON.parse(line)
  if (command.do === 'answer') statuses = command.statuses
  if (command.do === 'mute' || command.do === 'drop') mood = command.do
  if (command.do === 'kick') for (const session of sessions) session.destroy()
  if (command.do === 'receipt') {
    const text = `id:${command.id} sub:001 dlvrd:001 submit date:2611250900 done date:2611250901 stat:${command.state} err:${command.err} text:`
    deliver('receipt_answered', {
      esm_class: 4, source_addr: '33612345678', destination_addr: '38000', short_message: text,
      ...(command.tlv ? { receipted_message_id: command.id, message_state: STATES[command.state] } : {})
    })
  }
  if (command.do === 'reply') {
    const text = command.hex ? Buffer.from(command.hex, 'hex') : command.text
    const words = command.header ? { udh: Buffer.from([command.header.length, ...command.header]), message: text } : text
    deliver('reply_answered', { source_addr: command.source, destination_addr: '38000', short_message: words, ...(command.coding ? { data_coding: command.coding } : {}) })
  }
}).on('close', () => process.exit(0))

server.listen(0, '127.0.0.1', () => say('listening', { port: server.address().port }))
