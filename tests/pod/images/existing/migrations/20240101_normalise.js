module.exports = async () => {
  for (let step = 1; step <= 3; step += 1) console.log(`step ${step}`);
};
