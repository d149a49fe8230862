// Runs before the page is drawn: theme and language from the address, else the cookie, else the system and the server.
(() => {
  const script = document.currentScript;
  const root = document.documentElement;
  const query = new URLSearchParams(location.search);
  const cookie = (name) => document.cookie.match(new RegExp(`(?:^|; )${name}=([^;]*)`))?.[1];
  const keep = (name, value) => (document.cookie = `${name}=${value}; path=/; max-age=31536000; SameSite=Lax`);
  const wish = (name, values) => {
    const asked = query.get(name);
    if (values.includes(asked)) keep(name, asked);
    return [asked, cookie(name)].find((value) => values.includes(value));
  };
  const themes = ["light", "dark"];
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  root.dataset.theme = wish("theme", themes) ?? system;
  wish("lang", script.dataset.languages.split(" "));
  root.lang = script.dataset.language;

  const withoutQuery = (name) => {
    const url = new URL(location.href);
    url.searchParams.delete(name);
    return url;
  };
  window.lineside = {
    setTheme(theme) {
      keep("theme", theme);
      root.dataset.theme = theme;
      history.replaceState(history.state, "", withoutQuery("theme"));
      window.Quasar?.Dark.set(theme === "dark");
      dispatchEvent(new CustomEvent("lineside-theme", { detail: theme })); // for charts
    },
    setLanguage(language) {
      keep("lang", language);
      location.replace(withoutQuery("lang"));
    },
    async takeCookie(ticket) {
      const answer = await fetch("/access/session", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ticket }),
      });
      return answer.ok;
    },
  };
})();
