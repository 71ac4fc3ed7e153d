################################################################################
#
# tidegate
#
################################################################################

TIDEGATE_VERSION = 0.1.0
TIDEGATE_SITE = $(call qstrip,$(BR2_PACKAGE_TIDEGATE_BUNDLE_DIR))
TIDEGATE_SITE_METHOD = local
TIDEGATE_LICENSE = Apache-2.0
TIDEGATE_LICENSE_FILES = usr/lib/tidegate/LICENSE

# Only these parts are replaced: the image's overlay has programs of its own in
# the same directory.
TIDEGATE_PARTS = bin dist node_modules

define TIDEGATE_INSTALL_TARGET_CMDS
	mkdir -p $(TARGET_DIR)/usr/lib/tidegate $(TARGET_DIR)/usr/bin
	rm -rf $(addprefix $(TARGET_DIR)/usr/lib/tidegate/,$(TIDEGATE_PARTS))
	cp -a $(@D)/usr/lib/tidegate/. $(TARGET_DIR)/usr/lib/tidegate/
	$(INSTALL) -m 0755 $(@D)/usr/bin/tidegate $(TARGET_DIR)/usr/bin/tidegate
endef

# Whose signatures updates of the device must carry; RAUC takes none without.
TIDEGATE_KEYRING = $(call qstrip,$(BR2_PACKAGE_TIDEGATE_KEYRING))
ifneq ($(TIDEGATE_KEYRING),)
define TIDEGATE_INSTALL_KEYRING
	$(INSTALL) -D -m 0644 $(TIDEGATE_KEYRING) $(TARGET_DIR)/etc/rauc/keyring.pem
endef
TIDEGATE_POST_INSTALL_TARGET_HOOKS += TIDEGATE_INSTALL_KEYRING
endif

# The account's number is that of systemd/tidegate.sysusers: the data partition
# keeps its owner from one version of the system to the next.
define TIDEGATE_USERS
	tidegate 610 tidegate 610 * /var/lib/tidegate - dialout Tidegate MQTT edge gateway
endef

$(eval $(generic-package))
