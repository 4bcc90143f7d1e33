/* What the plugin takes from libdl. Only the names and versions count; nothing of this is
 * ever called. */
void dladdr(void) {}
void dlclose(void) {}
void dlopen(void) {}
void dlsym(void) {}
