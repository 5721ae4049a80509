/** The live page; all that changes is put into it by page/app.ts. */
export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Damselfly, live</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/live/style.css">
<script type="module" src="/live/app.js"></script>
</head>
<body>
<a class="skip" href="#swarms">To the swarms</a>
<header>
  <h1>Damselfly</h1>
  <p id="state" role="status">connecting</p>
</header>
<main>
  <section aria-labelledby="cluster-title">
    <h2 id="cluster-title">Cluster</h2>
    <dl id="tiles"></dl>
    <figure>
      <canvas id="rates" height="120" role="img" aria-label="Bytes a second: none yet"></canvas>
      <figcaption><span class="key origin"></span>from registries <span class="key objectStore"></span>from the bucket <span class="key supernode"></span>from supernodes <span class="key peer"></span>between nodes; the last two minutes, up to <output id="rates-top">0 B/s</output></figcaption>
    </figure>
  </section>
  <section aria-labelledby="swarms-title">
    <h2 id="swarms-title">Swarms</h2>
    <div id="swarms" class="list" tabindex="-1" role="group" aria-labelledby="swarms-title"></div>
  </section>
  <section aria-labelledby="picture-title" class="picture">
    <h2 id="picture-title">No swarm is chosen</h2>
    <p id="picture-text"></p>
    <canvas id="picture" role="img" aria-label="No swarm is chosen"></canvas>
    <details id="nodes">
      <summary>Every member of this swarm, the least complete first</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="Members of this swarm"><table><thead><tr><th>Member</th><th>Zone</th><th class="number">Complete</th></tr></thead><tbody id="node-rows"></tbody></table></div>
    </details>
  </section>
  <section aria-labelledby="slow-title">
    <h2 id="slow-title">Slowest nodes</h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="slow-title"><table class="wraps"><thead><tr><th>Node</th><th>Blob</th><th class="number">Complete</th><th>Waits for</th></tr></thead><tbody id="slow"></tbody></table></div>
  </section>
  <section aria-labelledby="preheats-title" class="wide">
    <h2 id="preheats-title">Preheating</h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="preheats-title"><table class="wraps"><thead><tr><th>Number</th><th>What</th><th>To</th><th>State</th><th class="number">Done</th><th class="number">Failed</th><th class="number">Machines</th></tr></thead><tbody id="preheats"></tbody></table></div>
  </section>
  <section aria-labelledby="bans-title">
    <h2 id="bans-title">Bans</h2>
    <ul id="bans"></ul>
  </section>
  <section aria-labelledby="members-title" class="wide">
    <h2 id="members-title">Members</h2>
    <label>Find <input id="find" type="search" placeholder="id, address, zone, version" autocomplete="off"></label>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="members-title"><table><thead><tr><th>Member</th><th>Address</th><th>Zone</th><th>Version</th><th class="number">From registries</th><th class="number">From the bucket</th><th class="number">From supernodes</th><th class="number">From nodes</th><th class="number">To peers</th><th class="number">To clients</th></tr></thead><tbody id="members"></tbody></table></div>
    <p id="members-more"></p>
  </section>
</main>
</body>
</html>
`;
