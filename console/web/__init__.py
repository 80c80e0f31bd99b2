"""The console in a browser: the commands' own reading and acting, as pages."""
