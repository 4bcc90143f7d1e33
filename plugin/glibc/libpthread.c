/* What the plugin takes from libpthread and what newer versions of glibc have given other
 * versions. Only the names and versions count; nothing of this is ever called. */
void pthread_attr_getstack(void) {}
void pthread_attr_getstacksize(void) {}
void pthread_create(void) {}
void pthread_getattr_np(void) {}
void pthread_getname_np(void) {}
void pthread_key_create(void) {}
void pthread_setspecific(void) {}
void pthread_sigmask(void) {}
