// node migration.js NAME RERUN
const [, , name, rerun] = process.argv;
console.log(`migrating ${name}, rerun ${rerun}`);
require(`./migrations/${name}.js`)().then(() => console.log(`${name} done`));
