//go:build stores

package archive

import "memexport/internal/archive/storetest"

func init() { storeNames = storetest.Names }
