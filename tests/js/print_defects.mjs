// Prints every defect as one line of JSON: node print_defects.mjs KAFKA_HOST:PORT http://REGISTRY_HOST:PORT [TOPIC]
import { Kafka, logLevel } from 'kafkajs'
import { SchemaRegistry } from '@kafkajs/confluent-schema-registry'

const [broker, registryUrl, topic = 'lineside.defects'] = process.argv.slice(2)
const registry = new SchemaRegistry({ host: registryUrl })
const consumer = new Kafka({ brokers: [broker], logLevel: logLevel.ERROR }).consumer({ groupId: 'js-example' })
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
await consumer.run({
  eachMessage: async ({ message }) => console.log(JSON.stringify(await registry.decode(message.value))),
})
