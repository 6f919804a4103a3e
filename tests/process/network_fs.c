/*
 * network_fs: preloaded (LD_PRELOAD), it makes every directory look as if it lay on a file system
 * of another kind: on NFS, or on what NETWORK_FS_MAGIC says. Everything else is as it is.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>

int fstatfs(int fd, struct statfs *out);

int fstatfs(int fd, struct statfs *out)
{
    const char *magic = getenv("NETWORK_FS_MAGIC");

    (void)fd;
    memset(out, 0, sizeof(*out));
    out->f_type = (__fsword_t)(magic ? strtoul(magic, NULL, 0) : 0x6969);
    out->f_bsize = 4096;
    return 0;
}
